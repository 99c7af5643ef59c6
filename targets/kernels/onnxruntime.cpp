// The operator edgepress.binary.Packed for ONNX Runtime: floats [N, ...] -> floats [N, C, H, W], by the packed network in its attribute
// "file". ONNX Runtime's packages bring no C header, so what is used of its interface is declared here: of version 16, whose
// numbers and order never change (structures only grow at their ends).

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <mutex>
#include <new>
#include <vector>

#include "network.h"

namespace {

constexpr uint32_t INTERFACE = 16;
constexpr int FLOAT = 1, REQUIRED = 0, FAIL = 1;

struct Status;
struct KernelInfo;
struct KernelContext;
struct Value;
struct ShapeInfo;
struct Options;
struct Domain;
struct Operator;

// The table of functions, of which these places are used.
struct Api {
    const void* slots[102];

    template <class Function>
    Function at(int place) const {
        Function found;
        static_assert(sizeof found == sizeof slots[0], "functions are found by their addresses");
        std::memcpy(&found, &slots[place], sizeof found);
        return found;
    }

    Status* fail(const char* why) const { return at<Status* (*)(int, const char*)>(0)(FAIL, why); }
    Status* make_domain(const char* name, Domain** made) const { return at<Status* (*)(const char*, Domain**)>(26)(name, made); }
    Status* add_operator(Domain* to, const Operator* each) const { return at<Status* (*)(Domain*, const Operator*)>(27)(to, each); }
    Status* add_domain(Options* to, Domain* each) const { return at<Status* (*)(Options*, Domain*)>(28)(to, each); }
    Status* data(Value* of, void** found) const { return at<Status* (*)(Value*, void**)>(51)(of, found); }
    Status* rank(const ShapeInfo* of, size_t* found) const { return at<Status* (*)(const ShapeInfo*, size_t*)>(61)(of, found); }
    Status* sides(const ShapeInfo* of, int64_t* found, size_t count) const {
        return at<Status* (*)(const ShapeInfo*, int64_t*, size_t)>(62)(of, found, count);
    }
    Status* shape(const Value* of, ShapeInfo** found) const { return at<Status* (*)(const Value*, ShapeInfo**)>(65)(of, found); }
    Status* attribute(const KernelInfo* of, const char* name, char* found, size_t* size) const {
        return at<Status* (*)(const KernelInfo*, const char*, char*, size_t*)>(87)(of, name, found, size);
    }
    Status* input(const KernelContext* of, size_t number, const Value** found) const {
        return at<Status* (*)(const KernelContext*, size_t, const Value**)>(90)(of, number, found);
    }
    Status* output(KernelContext* of, size_t number, const int64_t* sides, size_t count, Value** found) const {
        return at<Status* (*)(KernelContext*, size_t, const int64_t*, size_t, Value**)>(91)(of, number, sides, count, found);
    }
    void release(Status* status) const { at<void (*)(Status*)>(93)(status); }
    void release(ShapeInfo* info) const { at<void (*)(ShapeInfo*)>(99)(info); }
};

struct ApiBase {
    const Api* (*get)(uint32_t version);
    const char* (*version)();
};

struct Operator {
    uint32_t version;
    void* (*create)(const Operator*, const Api*, const KernelInfo*);
    const char* (*name)(const Operator*);
    const char* (*provider)(const Operator*);
    int (*input_type)(const Operator*, size_t);
    size_t (*inputs)(const Operator*);
    int (*output_type)(const Operator*, size_t);
    size_t (*outputs)(const Operator*);
    void (*compute)(void*, KernelContext*);
    void (*destroy)(void*);
    int (*input_kind)(const Operator*, size_t);
    int (*output_kind)(const Operator*, size_t);
    int (*input_memory)(const Operator*, size_t);
    int (*least_inputs)(const Operator*);
    int (*inputs_alike)(const Operator*);
    int (*least_outputs)(const Operator*);
    int (*outputs_alike)(const Operator*);
    Status* (*create_or_fail)(const Operator*, const Api*, const KernelInfo*, void**);
    Status* (*compute_or_fail)(void*, KernelContext*);
    const void* behind[7];  // of later versions, unused
};

struct Kernel {
    const Api* api;
    ep_network* network;
    int32_t in[3] = {}, out[3] = {};
    std::mutex one{};  // a session may be asked by several threads, a network may not

    Kernel(const Api* api, ep_network* network) : api(api), network(network) { ep_network_shape(network, in, out); }
};

Status* create(const Operator*, const Api* api, const KernelInfo* info, void** made) {
    size_t size = 0;
    if (Status* wrong = api->attribute(info, "file", nullptr, &size)) return wrong;
    std::vector<char> file(size);
    if (Status* wrong = api->attribute(info, "file", file.data(), &size)) return wrong;
    char why[200];
    // The attribute is given with a zero behind it, as text is.
    ep_network* network = ep_network_open(reinterpret_cast<const uint8_t*>(file.data()), size - 1, nullptr, why, sizeof why);
    if (!network) return api->fail(why);
    auto kernel = new (std::nothrow) Kernel(api, network);
    if (!kernel) return ep_network_close(network), api->fail("there is not enough memory for a packed network");
    *made = kernel;
    return nullptr;
}

Status* compute(void* made, KernelContext* context) {
    Kernel& kernel = *static_cast<Kernel*>(made);
    const Api& api = *kernel.api;
    const Value* input = nullptr;
    if (Status* wrong = api.input(context, 0, &input)) return wrong;
    ShapeInfo* info = nullptr;
    if (Status* wrong = api.shape(input, &info)) return wrong;
    size_t rank = 0;
    int64_t sides[4] = {};
    Status* wrong = api.rank(info, &rank);
    if (!wrong && rank == 4) wrong = api.sides(info, sides, rank);
    api.release(info);
    if (wrong) return wrong;
    for (int side = 0; side < 3; ++side)
        if (rank != 4 || sides[side + 1] != kernel.in[side]) return api.fail("a packed network was given an input of another shape");
    const int64_t wanted[4] = {sides[0], kernel.out[0], kernel.out[1], kernel.out[2]};
    Value* output = nullptr;
    if ((wrong = api.output(context, 0, wanted, 4, &output))) return wrong;
    void *from = nullptr, *to = nullptr;
    if ((wrong = api.data(const_cast<Value*>(input), &from))) return wrong;
    if ((wrong = api.data(output, &to))) return wrong;
    const std::lock_guard<std::mutex> alone(kernel.one);
    ep_network_run(kernel.network, static_cast<const float*>(from), int32_t(sides[0]), static_cast<float*>(to));
    return nullptr;
}

void destroy(void* made) {
    auto kernel = static_cast<Kernel*>(made);
    ep_network_close(kernel->network);
    delete kernel;
}

const Operator* packed() {
    static const Operator made = [] {
        Operator each{};
        each.version = INTERFACE;
        each.name = [](const Operator*) { return "Packed"; };
        each.provider = [](const Operator*) -> const char* { return nullptr; };  // the CPU
        each.input_type = each.output_type = [](const Operator*, size_t) { return FLOAT; };
        each.inputs = each.outputs = [](const Operator*) { return size_t(1); };
        each.input_kind = each.output_kind = [](const Operator*, size_t) { return REQUIRED; };
        each.input_memory = [](const Operator*, size_t) { return 0; };
        each.least_inputs = each.inputs_alike = each.least_outputs = each.outputs_alike = [](const Operator*) { return 1; };
        each.create_or_fail = create;
        each.compute_or_fail = compute;
        each.destroy = destroy;
        return each;
    }();
    return &made;
}

}  // namespace

extern "C" EP_PUBLIC Status* RegisterCustomOps(Options* options, const ApiBase* base) {
    const Api* api = base->get(INTERFACE);
    if (!api) return nullptr;  // a runtime older than version 16: it finds no such operator and says so
    Domain* domain = nullptr;  // lives as long as the process does: sessions that use it may
    if (Status* wrong = api->make_domain("edgepress.binary", &domain)) return wrong;
    if (Status* wrong = api->add_operator(domain, packed())) return wrong;
    return api->add_domain(options, domain);
}
