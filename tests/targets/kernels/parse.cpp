// Opens each file named, says what is wrong with it or runs it: under the sanitizers, for files that were damaged on purpose.
#include "binary.cpp"
#include "network.cpp"

#include <cstdio>
#include <fstream>
#include <iterator>

int main(int count, char** names) {
    for (int number = 1; number < count; ++number) {
        std::ifstream file(names[number], std::ios::binary);
        const std::vector<char> read((std::istreambuf_iterator<char>(file)), std::istreambuf_iterator<char>());
        const std::vector<uint8_t> bytes(read.begin(), read.end());
        char why[200] = "";
        ep_network* network = ep_network_open(bytes.data(), bytes.size(), nullptr, why, sizeof why);
        if (network) {
            int32_t in[3], out[3];
            ep_network_shape(network, in, out);
            std::vector<float> input(size_t(in[0]) * in[1] * in[2]), output(size_t(out[0]) * out[1] * out[2]);
            ep_network_run(network, input.data(), 1, output.data());
            ep_network_close(network);
        }
        std::printf("%s\n", network ? "ran" : why);
    }
}
