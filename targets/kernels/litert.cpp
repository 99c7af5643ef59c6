// The operator edgepress.binary.Packed for LiteRT: floats [N, C, H, W] and a constant of bytes, its packed network, -> floats
// [N, C, H, W]. From Python LiteRT takes operators of others only as a delegate, which claims them and nothing else. Its packages
// bring no C header, so what is used of its interface is declared here: structures whose order never changes (they only grow at
// their ends), the same in tflite-runtime 2.14 and in ai-edge-litert 2.

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <new>
#include <vector>

#include "network.h"

namespace {

constexpr char NAME[] = "edgepress.binary.Packed";
constexpr int OK = 0, FAILED = 1;
constexpr int FLOAT = 1, INT8 = 9;  // types of tensors
constexpr int CONSTANT = 1;         // of a tensor's memory: the file's own
constexpr int64_t UNPREPARED = 1;   // a flag: takes graphs whose operators cannot be prepared before they are claimed, as ours

struct Delegate;

struct Numbers {
    int32_t size;
    int32_t at[1];  // and more
};

struct Tensor {
    int type;
    void* data;
    Numbers* sides;
    float scale;
    int32_t zero;
    int memory;
    size_t bytes;
    const void *mapped, *name, *delegate;
    int handle;
    bool stale, variable;
    int quantized;
    const void *parameters, *sparsity, *signature;
};
static_assert(sizeof(Tensor) == (sizeof(void*) == 8 ? 112 : 64), "tensors lie one behind the other");

struct Node {
    Numbers *inputs, *outputs, *intermediates, *temporaries;
    void* made;  // what `open` gave
};

struct Context {
    size_t tensors;
    int (*plan)(Context*, Numbers** found);
    Tensor* tensor;
    void* inside;
    int (*resize)(Context*, Tensor*, Numbers* sides);  // which are the runtime's then, to be freed
    void (*say)(Context*, const char* format, ...);
    void* add;
    int (*node)(Context*, int number, Node** found, struct Kernel** kernel);
    int (*replace)(Context*, struct Kernel by, const Numbers* nodes, Delegate*);
};

struct Kernel {
    void* (*open)(Context*, const char* parameters, size_t);
    void (*close)(Context*, void* made);
    int (*prepare)(Context*, Node*);
    int (*run)(Context*, Node*);
    void* profiled;
    int32_t code;
    const char* name;
    int version;
    void *external, *asynchronous;
    uint64_t in_place;
};

struct Parameters {
    Delegate* delegate;
    Numbers *nodes, *inputs, *outputs;
};

struct Delegate {
    void* data;
    int (*prepare)(Context*, Delegate*);
    void *copy_from, *copy_to, *free;
    int64_t flags;
    void* builder;
};

// An operator that was claimed. Its node is another then, whose inputs are in another order.
struct Packed {
    ep_network* network;
    int32_t input, output;  // numbers of tensors
    int32_t in[3], out[3];
};

bool is(const Context* context, const Numbers* numbers, int place, int type) {
    const int32_t number = place < numbers->size ? numbers->at[place] : -1;
    return number >= 0 && size_t(number) < context->tensors && context->tensor[number].type == type;
}

void* open(Context* context, const char* given, size_t) {
    Node* node = nullptr;
    Kernel* kernel = nullptr;
    if (context->node(context, reinterpret_cast<const Parameters*>(given)->nodes->at[0], &node, &kernel) != OK) return nullptr;
    if (!is(context, node->inputs, 0, FLOAT) || !is(context, node->inputs, 1, INT8) || !is(context, node->outputs, 0, FLOAT)) {
        context->say(context, "%s has other inputs or outputs than floats and a packed network\n", NAME);
        return nullptr;
    }
    const Tensor& file = context->tensor[node->inputs->at[1]];
    const bool constant = file.memory == CONSTANT && file.data;
    char why[200] = "it is no constant";
    ep_network* network =
        constant ? ep_network_open(static_cast<const uint8_t*>(file.data), file.bytes, nullptr, why, sizeof why) : nullptr;
    if (!network) {
        context->say(context, "packed network of %d bytes: %s\n", int(file.bytes), why);
        return nullptr;
    }
    auto made = new (std::nothrow) Packed{network, node->inputs->at[0], node->outputs->at[0], {}, {}};
    if (!made) return ep_network_close(network), nullptr;
    ep_network_shape(network, made->in, made->out);
    return made;
}

void close(Context*, void* made) {
    if (!made) return;
    ep_network_close(static_cast<Packed*>(made)->network);
    delete static_cast<Packed*>(made);
}

int prepare(Context* context, Node* node) {
    if (!node->made) return FAILED;  // `open` has said why
    const Packed& packed = *static_cast<Packed*>(node->made);
    const Numbers* given = context->tensor[packed.input].sides;
    if (given->size != 4 || std::memcmp(given->at + 1, packed.in, sizeof packed.in)) {
        context->say(context, "a packed network was given an input of another shape\n");
        return FAILED;
    }
    auto sides = static_cast<Numbers*>(std::malloc(5 * sizeof(int32_t)));
    if (!sides) return FAILED;
    sides->size = 4;
    sides->at[0] = given->at[0];
    std::memcpy(sides->at + 1, packed.out, sizeof packed.out);
    return context->resize(context, context->tensor + packed.output, sides);
}

size_t bytes(int32_t batch, const int32_t (&size)[3]) { return sizeof(float) * size_t(batch) * size[0] * size[1] * size[2]; }

int run(Context* context, Node* node) {
    const Packed& packed = *static_cast<Packed*>(node->made);
    const Tensor &input = context->tensor[packed.input], &output = context->tensor[packed.output];
    if (!output.data) return OK;  // nobody reads it, and so it was given no memory
    const int32_t batch = input.sides->at[0];
    if (!input.data || input.bytes < bytes(batch, packed.in) || output.bytes < bytes(batch, packed.out)) {
        context->say(context, "a packed network was given less memory than it takes\n");  // by a graph that writes a tensor twice
        return FAILED;
    }
    ep_network_run(packed.network, static_cast<const float*>(input.data), batch, static_cast<float*>(output.data));
    return OK;
}

// Each operator becomes a kernel of its own: in one for several, what they give each other would have no memory.
int claim(Context* context, Delegate* delegate) {
    Numbers* plan = nullptr;
    if (context->plan(context, &plan) != OK) return FAILED;
    std::vector<int32_t> ours;  // the plan is another after each replacement
    for (int32_t place = 0; place < plan->size; ++place) {
        Node* node = nullptr;
        Kernel* kernel = nullptr;
        if (context->node(context, plan->at[place], &node, &kernel) != OK) return FAILED;
        if (kernel->name && !std::strcmp(kernel->name, NAME)) ours.push_back(plan->at[place]);
    }
    Kernel kernel{};
    kernel.open = open;
    kernel.close = close;
    kernel.prepare = prepare;
    kernel.run = run;
    kernel.name = NAME;
    kernel.version = 1;
    for (int32_t number : ours) {
        const Numbers one = {1, {number}};
        if (context->replace(context, kernel, &one, delegate) != OK) return FAILED;
    }
    return OK;
}

}  // namespace

// What load_delegate of the Python packages calls; the one delegate has no state, and any number of interpreters may share it.
extern "C" EP_PUBLIC Delegate* tflite_plugin_create_delegate(const char* const*, const char* const*, size_t, void (*)(const char*)) {
    static Delegate delegate = {nullptr, claim, nullptr, nullptr, nullptr, UNPREPARED, nullptr};
    return &delegate;
}

extern "C" EP_PUBLIC void tflite_plugin_destroy_delegate(Delegate*) {}
