// Layers of +-1 one after the other, their activations as bits in between.
//
// A packed file, little-endian: "EPBN", the version, the number of stages, the stages, and the CRC-32 of all before it. A stage
// is its kind, the number of bytes that follow, and
//   1  sign    channels, height, width; a bit a channel; a float threshold a channel
//              floats [C][H][W] become bits: 1 where x is at least the threshold, or at most where the channel's bit is 1
//   2  bits    a shape (ep_shape); weights; 0 and an int32 threshold an output, or 1 and one for each output of each pixel
//              bits become bits: 1 where a sum is at least the threshold
//   3  pool    channels, height, width, kernel, stride and pad of both sides: 1 where any bit of a window is
//   4  floats  a shape; weights; a float scale and a float offset an output: bits become scale * sum + offset, [C][H][W]
// The first stage is a sign, the last one floats, and no other is; what a stage takes is what the one before gives.

#include "network.h"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstring>
#include <memory>
#include <new>
#include <string>
#include <vector>

namespace {

constexpr uint32_t VERSION = 1, MOST_STAGES = 10000;
enum Kind : uint32_t { SIGN = 1, BITS = 2, POOL = 3, FLOATS = 4 };

struct Wrong {
    std::string why;
};

[[noreturn]] void refuse(const std::string& why) { throw Wrong{why}; }

struct Size {
    int32_t channels, height, width;
    bool operator==(const Size& other) const {
        return channels == other.channels && height == other.height && width == other.width;
    }
    int64_t floats() const { return int64_t(channels) * height * width; }
    int64_t bytes() const { return int64_t(height) * width * ((channels + 7) / 8); }
};

std::string told(const Size& size) {
    return std::to_string(size.channels) + "x" + std::to_string(size.height) + "x" + std::to_string(size.width);
}

// Takes a file apart; nothing is read beyond its end.
class Reader {
  public:
    Reader(const uint8_t* at, size_t size) : at_(at), left_(size) {}

    const uint8_t* take(int64_t size) {
        if (size < 0 || uint64_t(size) > left_) refuse("it ends too early");
        const uint8_t* found = at_;
        at_ += size;
        left_ -= size_t(size);
        return found;
    }

    template <class Number>
    std::vector<Number> numbers(int64_t count) {
        const uint8_t* from = take(count < 0 || count > int64_t(1) << 40 ? -1 : count * int64_t(sizeof(Number)));
        std::vector<Number> found;
        found.resize(size_t(count));
        if (count) std::memcpy(found.data(), from, size_t(count) * sizeof(Number));
        return found;
    }

    uint32_t word() { return numbers<uint32_t>(1)[0]; }
    size_t left() const { return left_; }

  private:
    const uint8_t* at_;
    size_t left_;
};

uint32_t crc(const uint8_t* bytes, size_t size) {
    uint32_t sum = ~0u;
    for (size_t i = 0; i < size; ++i) {
        sum ^= bytes[i];
        for (int b = 0; b < 8; ++b) sum = sum >> 1 ^ (0xEDB88320u & (0u - (sum & 1)));
    }
    return ~sum;
}

struct Closer {
    void operator()(ep_layer* layer) const { ep_close(layer); }
};

struct Stage {
    Kind kind;
    Size in, out;
    std::vector<float> first, second;  // thresholds; or scales and offsets
    std::vector<uint8_t> mask;         // of a sign a bit a channel
    std::vector<int32_t> window;       // of a pool: kernel, stride, pad, each of height and width
    std::unique_ptr<ep_layer, Closer> layer;
};

bool set_in(const std::vector<uint8_t>& mask, int channel) { return mask[size_t(channel) / 8] >> channel % 8 & 1; }

Size size_of(Reader& reader) {
    const auto n = reader.numbers<int32_t>(3);
    for (int32_t each : n)
        if (each < 1 || each > 1 << 16) refuse("a side of " + std::to_string(each));
    Size size = {n[0], n[1], n[2]};
    if (size.floats() > 1 << 28) refuse("an image of " + told(size));
    return size;
}

void read_layer(Stage& stage, Reader& reader, const char* set) {
    const auto n = reader.numbers<int32_t>(11);
    ep_shape shape;
    static_assert(sizeof shape == 11 * sizeof(int32_t), "a shape is eleven numbers");
    std::memcpy(&shape, n.data(), sizeof shape);
    if (!ep_possible(&shape)) refuse("a layer of an impossible shape");
    const int64_t weights = int64_t(shape.outputs) * shape.kernel_h * shape.kernel_w * ((shape.channels / shape.groups + 7) / 8);
    const uint8_t* from = reader.take(weights);
    const Size out = {shape.outputs, (shape.height + 2 * shape.pad_h - shape.kernel_h) / shape.stride_h + 1,
                      (shape.width + 2 * shape.pad_w - shape.kernel_w) / shape.stride_w + 1};
    std::vector<int32_t> thresholds;
    uint32_t everywhere = 0;
    if (stage.kind == BITS) {
        if ((everywhere = reader.word()) > 1) refuse("thresholds of kind " + std::to_string(everywhere));
        thresholds = reader.numbers<int32_t>(everywhere ? out.floats() : shape.outputs);
    } else {
        stage.first = reader.numbers<float>(shape.outputs);
        stage.second = reader.numbers<float>(shape.outputs);
    }
    stage.layer.reset(ep_open(&shape, from, stage.kind == BITS ? thresholds.data() : nullptr, int(everywhere), set));
    if (!stage.layer) refuse("a layer that cannot be opened here");
    stage.in = {shape.channels, shape.height, shape.width};
    stage.out = out;
}

void read_pool(Stage& stage, Reader& reader) {
    stage.in = size_of(reader);
    stage.window = reader.numbers<int32_t>(6);
    const auto& w = stage.window;
    const int32_t sides[] = {stage.in.height, stage.in.width};
    int32_t out[2];
    for (int side = 0; side < 2; ++side) {
        const int32_t kernel = w[side], stride = w[2 + side], pad = w[4 + side];
        if (kernel < 1 || stride < 1 || pad < 0 || 2 * int64_t(pad) > kernel || kernel > sides[side] + 2 * pad || stride > 1 << 16)
            refuse("a pool of an impossible window");
        out[side] = (sides[side] + 2 * pad - kernel) / stride + 1;
    }
    stage.out = {stage.in.channels, out[0], out[1]};
}

Stage read_stage(Reader& file, const char* set) {
    Stage stage{};
    stage.kind = Kind(file.word());
    const uint32_t size = file.word();
    Reader reader(file.take(size), size);
    if (stage.kind == SIGN) {
        stage.in = stage.out = size_of(reader);
        stage.mask = reader.numbers<uint8_t>((stage.in.channels + 7) / 8);
        stage.first = reader.numbers<float>(stage.in.channels);
    } else if (stage.kind == BITS || stage.kind == FLOATS)
        read_layer(stage, reader, set);
    else if (stage.kind == POOL)
        read_pool(stage, reader);
    else
        refuse("a stage of kind " + std::to_string(uint32_t(stage.kind)) + ", which version 1 does not have");
    if (reader.left()) refuse(std::to_string(reader.left()) + " bytes too many in a stage");
    return stage;
}

void run_sign(const Stage& stage, const float* from, uint8_t* to) {
    constexpr int64_t RUN = 64;  // pixels whose byte of eight channels is made together, without a jump
    const int64_t plane = int64_t(stage.in.height) * stage.in.width, bytes = (stage.in.channels + 7) / 8;
    for (int64_t byte = 0; byte < bytes; ++byte) {
        const int first = int(8 * byte), count = std::min(8, stage.in.channels - first);
        for (int64_t begin = 0; begin < plane; begin += RUN) {
            const int64_t pixels = std::min(RUN, plane - begin);
            uint8_t found[RUN] = {};
            for (int k = 0; k < count; ++k) {
                const float* x = from + (first + k) * plane + begin;
                const float threshold = stage.first[size_t(first + k)];
                const auto bit = uint8_t(1 << k);
                if (set_in(stage.mask, first + k))
                    for (int64_t p = 0; p < pixels; ++p) found[p] |= x[p] <= threshold ? bit : uint8_t(0);
                else
                    for (int64_t p = 0; p < pixels; ++p) found[p] |= x[p] >= threshold ? bit : uint8_t(0);
            }
            for (int64_t p = 0; p < pixels; ++p) to[(begin + p) * bytes + byte] = found[p];
        }
    }
}

void run_pool(const Stage& stage, const uint8_t* from, uint8_t* to) {
    const int bytes = (stage.in.channels + 7) / 8;
    const auto& w = stage.window;
    for (int y = 0; y < stage.out.height; ++y)
        for (int x = 0; x < stage.out.width; ++x, to += bytes) {
            const int top = y * w[2] - w[4], left = x * w[3] - w[5];
            std::fill(to, to + bytes, uint8_t(0));
            for (int row = std::max(0, top); row < std::min(stage.in.height, top + w[0]); ++row)
                for (int column = std::max(0, left); column < std::min(stage.in.width, left + w[1]); ++column) {
                    const uint8_t* bits = from + (int64_t(row) * stage.in.width + column) * bytes;
                    for (int b = 0; b < bytes; ++b) to[b] |= bits[b];
                }
        }
}

}  // namespace

struct ep_network {
    std::vector<Stage> stages;
    std::vector<uint8_t> bits[2];
};

extern "C" {

ep_network* ep_network_open(const uint8_t* bytes, size_t size, const char* instruction_set, char* why, size_t room) {
    auto say = [&](const std::string& text) -> ep_network* {
        if (why && room) std::snprintf(why, room, "%s", text.c_str());
        return nullptr;
    };
    try {
        if (!bytes || size < 16 || std::memcmp(bytes, "EPBN", 4)) refuse("it does not begin as one");
        Reader tail(bytes + size - 4, 4);
        Reader reader(bytes + 4, size - 8);
        const uint32_t version = reader.word();
        if (version != VERSION) refuse("its version is " + std::to_string(version) + "; this is for version 1");
        if (tail.word() != crc(bytes, size - 4)) refuse("it was damaged: its checksum is another");
        const uint32_t count = reader.word();
        if (count < 2 || count > MOST_STAGES) refuse("it has " + std::to_string(count) + " stages");
        std::unique_ptr<ep_network> network(new ep_network());
        int64_t most = 0;
        for (uint32_t number = 0; number < count; ++number) {
            Stage stage = read_stage(reader, instruction_set);
            const bool first = number == 0, last = number + 1 == count;
            if ((stage.kind == SIGN) != first || (stage.kind == FLOATS) != last) refuse("its stages are in an impossible order");
            if (!first && !(network->stages.back().out == stage.in))
                refuse("a stage takes " + told(stage.in) + " and the one before gives " + told(network->stages.back().out));
            most = std::max({most, stage.in.bytes(), last ? 0 : stage.out.bytes()});
            network->stages.push_back(std::move(stage));
        }
        if (reader.left()) refuse(std::to_string(reader.left()) + " bytes too many");
        for (auto& each : network->bits) each.resize(size_t(most));
        return network.release();
    } catch (const Wrong& wrong) {
        return say(wrong.why);
    } catch (const std::bad_alloc&) {
        return say("there is not enough memory for it");
    }
}

void ep_network_close(ep_network* network) { delete network; }

void ep_network_shape(const ep_network* network, int32_t input[3], int32_t output[3]) {
    const Size from = network->stages.front().in, to = network->stages.back().out;
    const int32_t both[2][3] = {{from.channels, from.height, from.width}, {to.channels, to.height, to.width}};
    std::memcpy(input, both[0], sizeof both[0]);
    std::memcpy(output, both[1], sizeof both[1]);
}

void ep_network_run(ep_network* network, const float* input, int32_t batch, float* output) {
    const auto& stages = network->stages;
    for (int32_t sample = 0; sample < batch; ++sample, input += stages.front().in.floats(), output += stages.back().out.floats()) {
        uint8_t *here = network->bits[0].data(), *there = network->bits[1].data();
        for (const Stage& stage : stages) {
            if (stage.kind == SIGN) {
                run_sign(stage, input, here);
                continue;
            }
            if (stage.kind == FLOATS) {
                ep_floats(stage.layer.get(), here, stage.first.data(), stage.second.data(), output);
                continue;
            }
            if (stage.kind == BITS)
                ep_bits(stage.layer.get(), here, there);
            else
                run_pool(stage, here, there);
            std::swap(here, there);
        }
    }
}

}  // extern "C"
