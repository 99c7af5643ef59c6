// Opens and runs random layers, some that cannot be, in every instruction set; arrays are exactly as large as they must be, so
// that the sanitizers see a read or write beyond one. All sets must agree.
#include "binary.cpp"

#include <cstdio>
#include <cstdlib>
#include <random>

int main(int count, char** arguments) {
    const int rounds = count > 1 ? std::atoi(arguments[1]) : 100;
    std::mt19937 random(1);
    auto draw = [&](int low, int high) { return low + int(random() % unsigned(high - low + 1)); };
    for (int round = 0; round < rounds; ++round) {
        const int groups = draw(1, 3);
        ep_shape s = {groups * draw(0, 150), draw(0, 9), draw(0, 9), groups * draw(0, 100), draw(1, 5), draw(1, 5),
                      draw(0, 3), draw(1, 3), draw(0, 4), draw(0, 4), groups};
        if (round % 20 == 0) s.height = draw(-5, 1 << 30);
        const int bytes = s.channels / groups / 8 + (s.channels / groups % 8 != 0);
        std::vector<uint8_t> weights(size_t(s.outputs) * s.kernel_h * s.kernel_w * bytes);
        std::vector<int32_t> thresholds(s.outputs), first;
        for (auto& each : weights) each = uint8_t(random());  // bits behind the last channel too: they must not count
        for (auto& each : thresholds) each = draw(-200, 200);
        for (int number = 0; const char* name = ep_instruction_set(number); ++number) {
            ep_layer* layer = ep_open(&s, weights.data(), thresholds.data(), 0, name);
            if (!layer) break;
            const int high = (s.height + 2 * s.pad_h - s.kernel_h) / s.stride_h + 1, wide = (s.width + 2 * s.pad_w - s.kernel_w) / s.stride_w + 1;
            std::mt19937 same(static_cast<unsigned>(round));
            std::vector<uint8_t> input(size_t(s.height) * s.width * ((s.channels + 7) / 8)), bits(size_t(high) * wide * ((s.outputs + 7) / 8));
            for (auto& each : input) each = uint8_t(same());
            std::vector<int32_t> sums(size_t(s.outputs) * high * wide);
            ep_bits(layer, input.data(), bits.data());
            ep_sums(layer, input.data(), sums.data());
            ep_close(layer);
            if (number == 0) first = sums;
            if (first != sums) return std::fprintf(stderr, "round %d: %s differs\n", round, name), 1;
        }
    }
    std::printf("%d layers\n", rounds);
}
