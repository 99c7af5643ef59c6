// Runs packed networks where no Python is: `drive SET CASE...` reads CASE.packed and the floats in CASE.in, writes those of CASE.out,
// and says which instruction sets are usable. A run that allocates is an error. SET is one of them, or "" for the fastest.
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <iterator>
#include <string>
#include <vector>

static long allocations = 0;
void* operator new(size_t size) {
    ++allocations;
    return std::malloc(size);
}
void operator delete(void* memory) noexcept { std::free(memory); }
void operator delete(void* memory, size_t) noexcept { std::free(memory); }

#include "binary.cpp"
#include "network.cpp"

static std::vector<char> read(const std::string& path) {
    std::ifstream file(path, std::ios::binary);
    return {std::istreambuf_iterator<char>(file), {}};
}

int main(int count, char** given) {
    for (int number = 0; const char* name = ep_instruction_set(number); ++number) std::printf("%s\n", name);
    for (int place = 2; place < count; ++place) {
        const std::string path = given[place];
        const auto packed = read(path + ".packed"), in = read(path + ".in");
        char why[200];
        ep_network* network = ep_network_open(reinterpret_cast<const uint8_t*>(packed.data()), packed.size(),
                                              *given[1] ? given[1] : nullptr, why, sizeof why);
        if (!network) return std::fprintf(stderr, "%s: %s\n", given[place], why), 1;
        int32_t from[3], to[3];
        ep_network_shape(network, from, to);
        const size_t batch = in.size() / (sizeof(float) * from[0] * from[1] * from[2]);
        std::vector<float> input(in.size() / sizeof(float)), output(batch * to[0] * to[1] * to[2]);
        std::memcpy(input.data(), in.data(), in.size());
        const long before = allocations;
        ep_network_run(network, input.data(), int32_t(batch), output.data());
        if (allocations != before) return std::fprintf(stderr, "%s: memory was allocated in a run\n", given[place]), 1;
        ep_network_close(network);
        std::ofstream(path + ".out", std::ios::binary).write(reinterpret_cast<const char*>(output.data()), output.size() * sizeof(float));
    }
}
