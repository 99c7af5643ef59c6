// Convolutions of +-1 with +-1, a bit each: a product is an XNOR, a sum a count of bits (Rastegari et al. 2016, "XNOR-Net").
//
// A sum of K products is K minus twice the number of places where the signs differ, so all that is counted are differences.
// Every instruction set has its own way of counting, and its own layout of the weights, made once when a layer is opened:
//
//   avx512  64 places a step in eight outputs: xor, vpopcntq, add
//   avx2    4 places a step in 32 outputs: what the activations' four bits make of any four weights' is a table of 16 bytes,
//           and pshufb looks 32 outputs up at once; so two instructions do what xor, masks and shifts need eight for
//   neon    8 places a step in 16 outputs: xor, cnt, add
//   scalar  64 places a step in one output: xor, popcount
//
// Outputs lie in the lanes, so nothing is summed across them, and thresholds come out as bits in their order.
// A layer has no thread of its own, allocates only while it is opened, and is for one thread at a time. An instruction set is
// used only after it has given, on this machine, what plain arithmetic gives.

#include "binary.h"

#include <algorithm>
#include <cstring>
#include <memory>
#include <new>
#include <vector>

#if defined(__x86_64__)
#include <immintrin.h>
#elif defined(__ARM_NEON)
#include <arm_neon.h>
#define EP_NEON
#elif defined(__arm__) && __ARM_ARCH >= 7 && defined(__linux__) && !defined(__clang__)
// 32-bit Debian runs on processors without it, too, so its compiler has to be asked for it, and the processor as well.
#include <arm_neon.h>
#include <sys/auxv.h>
#define EP_NEON __attribute__((target("fpu=neon")))
#endif

namespace {

constexpr int TILE = 4;         // pixels that share a load of weights
constexpr int BATCH = 32;       // pixels that are counted in one call
constexpr int RUN = 16;         // pixels whose sums are written together
constexpr int MOST_PLACES = 65534;  // differences are counted in 16 bits, and 65535 stands for "always"
constexpr int64_t MOST_NUMBERS = 1 << 28;  // of an image and its border: what a small file may ask for

int ceil_div(int a, int b) { return (a + b - 1) / b; }

// Memory that begins with a line of the cache: a load that lies in two of them costs two.
template <class Number>
struct Aligned {
    using value_type = Number;
    static constexpr std::align_val_t LINE{64};
    Aligned() = default;
    template <class Other>
    Aligned(const Aligned<Other>&) {}
    Number* allocate(size_t count) { return static_cast<Number*>(::operator new(count * sizeof(Number), LINE)); }
    void deallocate(Number* at, size_t) { ::operator delete(at, LINE); }
    bool operator==(const Aligned&) const { return true; }
    bool operator!=(const Aligned&) const { return false; }
};
template <class Number>
using Lines = std::vector<Number, Aligned<Number>>;

// The activations of one group, with a border of zeros, as an instruction set wants to read them.
struct Geometry {
    int rows, columns;      // of the padded image
    int pixel;              // units of one pixel: bytes, words or table offsets
    int runs, run;          // a window is `runs` stretches of `run` units
    int next_run;           // units from one stretch to the next
};

using Count = void (*)(const void* image, const ptrdiff_t* starts, int pixels, const Geometry&, const uint8_t* weights,
                       int outputs, uint16_t* differences);

struct Set {
    const char* name;
    int lanes;        // outputs are padded to a multiple
    int unit_bits;    // places that a unit holds
    int unit_bytes;   // of a unit of the image
    Count count;
    bool (*usable)();
};

bool always() { return true; }

// ---------------------------------------------------------------------------------------------------------------- scalar

void count_scalar(const void* image, const ptrdiff_t* starts, int pixels, const Geometry& g, const uint8_t* weights, int outputs,
                  uint16_t* differences) {
    auto words = static_cast<const uint64_t*>(image);
    auto weight = reinterpret_cast<const uint64_t*>(weights);
    for (int pixel = 0; pixel < pixels; ++pixel) {
        const uint64_t* each = weight;
        for (int output = 0; output < outputs; ++output) {
            int sum = 0;
            for (int r = 0; r < g.runs; ++r) {
                const uint64_t* from = words + starts[pixel] + ptrdiff_t(r) * g.next_run;
                for (int u = 0; u < g.run; ++u) sum += __builtin_popcountll(from[u] ^ *each++);
            }
            differences[pixel * outputs + output] = uint16_t(sum);
        }
    }
}

#if defined(__x86_64__)
// ---------------------------------------------------------------------------------------------------------------- avx512

template <int P>
__attribute__((target("avx512f,avx512bw,avx512vl,avx512vpopcntdq"))) void tile_avx512(
    const uint64_t* image, const ptrdiff_t* starts, const Geometry& g, const uint8_t* weights, int outputs, uint16_t* differences) {
    const int step = g.runs * g.run * 64;  // bytes of eight outputs' weights
    for (int output = 0; output < outputs; output += 16) {
        __m512i low[P], high[P];
        for (int p = 0; p < P; ++p) low[p] = high[p] = _mm512_setzero_si512();
        const uint8_t* first = weights + ptrdiff_t(output / 8) * step;
        const uint8_t* second = first + step;
        for (int r = 0; r < g.runs; ++r) {
            const uint64_t* from = image + ptrdiff_t(r) * g.next_run;
            for (int u = 0; u < g.run; ++u, first += 64, second += 64) {
                const __m512i a = _mm512_loadu_si512(first), b = _mm512_loadu_si512(second);
                for (int p = 0; p < P; ++p) {
                    const __m512i x = _mm512_set1_epi64(int64_t(from[starts[p] + u]));
                    low[p] = _mm512_add_epi64(low[p], _mm512_popcnt_epi64(_mm512_xor_si512(a, x)));
                    high[p] = _mm512_add_epi64(high[p], _mm512_popcnt_epi64(_mm512_xor_si512(b, x)));
                }
            }
        }
        for (int p = 0; p < P; ++p) {
            auto to = reinterpret_cast<__m128i*>(differences + ptrdiff_t(p) * outputs + output);
            _mm_storeu_si128(to, _mm512_cvtepi64_epi16(low[p]));
            _mm_storeu_si128(to + 1, _mm512_cvtepi64_epi16(high[p]));
        }
    }
}

void count_avx512(const void* image, const ptrdiff_t* starts, int pixels, const Geometry& g, const uint8_t* weights, int outputs,
                  uint16_t* differences) {
    auto words = static_cast<const uint64_t*>(image);
    int p = 0;
    for (; p + TILE <= pixels; p += TILE)
        tile_avx512<TILE>(words, starts + p, g, weights, outputs, differences + ptrdiff_t(p) * outputs);
    for (; p < pixels; ++p) tile_avx512<1>(words, starts + p, g, weights, outputs, differences + ptrdiff_t(p) * outputs);
}

bool has_avx512() { return __builtin_cpu_supports("avx512vpopcntdq") && __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vl"); }

// ------------------------------------------------------------------------------------------------------------------ avx2

// Row v: in how many bits v differs from 0, 1, ... 15.
struct Table {
    alignas(16) uint8_t differences[16][16];
    constexpr Table() : differences() {
        for (int v = 0; v < 16; ++v)
            for (int w = 0; w < 16; ++w) {
                int d = v ^ w;
                differences[v][w] = uint8_t((d & 1) + (d >> 1 & 1) + (d >> 2 & 1) + (d >> 3));
            }
    }
};
constexpr Table TABLE;
constexpr int UNTIL_FULL = 63;  // steps of at most 4 that a byte can sum

// Each count has a name of its own: those of an array were kept in memory, which took half of the time.
#define EIGHT(each) each(0) each(1) each(2) each(3) each(4) each(5) each(6) each(7)

// One stretch of P pixels' windows by Q blocks of 64 outputs, whose weights are `step` bytes each. Their differences are added to
// those of the stretches before.
template <int P, int Q>
__attribute__((target("avx2"))) void stretch_avx2(const uint16_t* image, const ptrdiff_t* starts, int run, const uint8_t* weights,
                                                  ptrdiff_t step, int outputs, uint16_t* differences) {
    static_assert(P * 2 * Q <= 8, "there are eight counts");
    auto table = reinterpret_cast<const char*>(TABLE.differences);
    const uint16_t* from[P];
    for (int p = 0; p < P; ++p) from[p] = image + starts[p];
    for (int begin = 0; begin < run; begin += UNTIL_FULL) {
        const int end = std::min(run, begin + UNTIL_FULL);
#define NONE(n) __m256i count##n = _mm256_setzero_si256();
        EIGHT(NONE)
        for (int u = begin; u < end; ++u, weights += 64) {
            __m256i row;
// _mm256_add_epi8, but in its own register: the compiler's copies took a fifth of the time.
#define COUNT(n)                                                                                                        \
    if constexpr (n < P * 2 * Q) {                                                                                      \
        constexpr int p = n / (2 * Q), q = n % (2 * Q);                                                                 \
        if constexpr (q == 0)                                                                                           \
            row = _mm256_broadcastsi128_si256(_mm_load_si128(reinterpret_cast<const __m128i*>(table + from[p][u])));    \
        const auto four = reinterpret_cast<const __m256i*>(weights + q / 2 * step + q % 2 * 32);                        \
        const __m256i differ = _mm256_shuffle_epi8(row, _mm256_loadu_si256(four));                                      \
        __asm__("vpaddb %1, %0, %0" : "+x"(count##n) : "x"(differ));                                                    \
    }
            EIGHT(COUNT)
        }
#define ADD(n)                                                                                                          \
    if constexpr (n < P * 2 * Q) {                                                                                      \
        auto sums = reinterpret_cast<__m256i*>(differences + ptrdiff_t(n / (2 * Q)) * outputs + n % (2 * Q) * 32);      \
        const __m256i low = _mm256_cvtepu8_epi16(_mm256_castsi256_si128(count##n));                                     \
        const __m256i high = _mm256_cvtepu8_epi16(_mm256_extracti128_si256(count##n, 1));                               \
        _mm256_storeu_si256(sums, _mm256_add_epi16(_mm256_loadu_si256(sums), low));                                     \
        _mm256_storeu_si256(sums + 1, _mm256_add_epi16(_mm256_loadu_si256(sums + 1), high));                            \
    }
        EIGHT(ADD)
#undef NONE
#undef COUNT
#undef ADD
    }
}

// A block's weights of one stretch stay in the first cache while all pixels pass by.
template <int Q>
void block_avx2(const uint16_t* image, const ptrdiff_t* starts, int pixels, const Geometry& g, const uint8_t* weights, ptrdiff_t step,
                int outputs, uint16_t* differences) {
    constexpr int P = 4 / Q;
    for (int r = 0; r < g.runs; ++r, image += g.next_run, weights += ptrdiff_t(g.run) * 64) {
        int p = 0;
        for (; p + P <= pixels; p += P)
            stretch_avx2<P, Q>(image, starts + p, g.run, weights, step, outputs, differences + ptrdiff_t(p) * outputs);
        for (; p < pixels; ++p)
            stretch_avx2<1, Q>(image, starts + p, g.run, weights, step, outputs, differences + ptrdiff_t(p) * outputs);
    }
}

void count_avx2(const void* image, const ptrdiff_t* starts, int pixels, const Geometry& g, const uint8_t* weights, int outputs,
                uint16_t* differences) {
    auto offsets = static_cast<const uint16_t*>(image);
    const ptrdiff_t step = ptrdiff_t(g.runs) * g.run * 64;
    std::memset(differences, 0, size_t(pixels) * outputs * sizeof *differences);
    int output = 0;
    for (; output + 128 <= outputs; output += 128)
        block_avx2<2>(offsets, starts, pixels, g, weights + output / 64 * step, step, outputs, differences + output);
    if (output < outputs) block_avx2<1>(offsets, starts, pixels, g, weights + output / 64 * step, step, outputs, differences + output);
}

bool has_avx2() { return __builtin_cpu_supports("avx2"); }
#endif

#if defined(EP_NEON)
// ------------------------------------------------------------------------------------------------------------------ neon

constexpr int UNTIL_FULL = 31;  // steps of at most 8 that a byte can sum

template <int P>
EP_NEON void tile_neon(const uint8_t* image, const ptrdiff_t* starts, const Geometry& g, const uint8_t* weights, int outputs,
                       uint16_t* differences) {
    const ptrdiff_t step = ptrdiff_t(g.runs) * g.run * 16;  // bytes of 16 outputs' weights
    for (int output = 0; output < outputs; output += 16) {
        uint16x8_t low[P], high[P];
        for (int p = 0; p < P; ++p) low[p] = high[p] = vdupq_n_u16(0);
        const uint8_t* each = weights + output / 16 * step;
        for (int r = 0; r < g.runs; ++r) {
            const uint8_t* from = image + ptrdiff_t(r) * g.next_run;
            for (int begin = 0; begin < g.run; begin += UNTIL_FULL) {
                const int end = std::min(g.run, begin + UNTIL_FULL);
                uint8x16_t sum[P];
                for (int p = 0; p < P; ++p) sum[p] = vdupq_n_u8(0);
                for (int u = begin; u < end; ++u, each += 16) {
                    const uint8x16_t w = vld1q_u8(each);
                    for (int p = 0; p < P; ++p)
                        sum[p] = vaddq_u8(sum[p], vcntq_u8(veorq_u8(w, vld1q_dup_u8(from + starts[p] + u))));
                }
                for (int p = 0; p < P; ++p) {
                    low[p] = vaddw_u8(low[p], vget_low_u8(sum[p]));
                    high[p] = vaddw_u8(high[p], vget_high_u8(sum[p]));
                }
            }
        }
        for (int p = 0; p < P; ++p) {
            vst1q_u16(differences + ptrdiff_t(p) * outputs + output, low[p]);
            vst1q_u16(differences + ptrdiff_t(p) * outputs + output + 8, high[p]);
        }
    }
}

void count_neon(const void* image, const ptrdiff_t* starts, int pixels, const Geometry& g, const uint8_t* weights, int outputs,
                uint16_t* differences) {
    auto bytes = static_cast<const uint8_t*>(image);
    int p = 0;
    for (; p + TILE <= pixels; p += TILE)
        tile_neon<TILE>(bytes, starts + p, g, weights, outputs, differences + ptrdiff_t(p) * outputs);
    for (; p < pixels; ++p) tile_neon<1>(bytes, starts + p, g, weights, outputs, differences + ptrdiff_t(p) * outputs);
}

bool has_neon() {
#if defined(__ARM_NEON)
    return true;
#else
    return getauxval(AT_HWCAP) >> 12 & 1;  // HWCAP_NEON
#endif
}
#endif

// Of sixteen differences, in which places there are fewer than the limit.
unsigned below(const uint16_t* differences, const uint16_t* limits) {
#if defined(__x86_64__)
    auto room = [&](int half) {  // 0 where there is none left
        const __m128i most = _mm_loadu_si128(reinterpret_cast<const __m128i*>(limits) + half);
        return _mm_cmpeq_epi16(
            _mm_subs_epu16(most, _mm_loadu_si128(reinterpret_cast<const __m128i*>(differences) + half)), _mm_setzero_si128());
    };
    return 65535u ^ unsigned(_mm_movemask_epi8(_mm_packs_epi16(room(0), room(1))));
#elif defined(__ARM_NEON)
    alignas(16) static constexpr uint8_t PLACES[16] = {1, 2, 4, 8, 16, 32, 64, 128, 1, 2, 4, 8, 16, 32, 64, 128};
    const uint8x8_t low = vmovn_u16(vcltq_u16(vld1q_u16(differences), vld1q_u16(limits)));
    const uint8x8_t high = vmovn_u16(vcltq_u16(vld1q_u16(differences + 8), vld1q_u16(limits + 8)));
    const uint8x16_t bits = vandq_u8(vcombine_u8(low, high), vld1q_u8(PLACES));
    const uint64x2_t sums = vpaddlq_u32(vpaddlq_u16(vpaddlq_u8(bits)));
    return unsigned(vgetq_lane_u64(sums, 0) | vgetq_lane_u64(sums, 1) << 8);
#else
    unsigned found = 0;
    for (int b = 0; b < 16; ++b) found |= unsigned(differences[b] < limits[b]) << b;
    return found;
#endif
}

const Set SETS[] = {
#if defined(__x86_64__)
    {"avx512", 16, 64, 8, count_avx512, has_avx512},
    {"avx2", 64, 4, 2, count_avx2, has_avx2},
#endif
#if defined(EP_NEON)
    {"neon", 16, 8, 1, count_neon, has_neon},
#endif
    {"scalar", 1, 64, 8, count_scalar, always},
};

// ------------------------------------------------------------------------------------------------------------ one layer

int bit(const uint8_t* bytes, ptrdiff_t place) { return bytes[place >> 3] >> (place & 7) & 1; }

// Taps of a window at one output position that lie in the image: those from `low` up to `high`.
struct Taps {
    int low, high;
    bool operator==(const Taps& other) const { return low == other.low && high == other.high; }
};

Taps taps(int position, int stride, int pad, int kernel, int size) {
    const int start = position * stride - pad;
    return {std::min(kernel, std::max(0, -start)), std::max(0, std::min(kernel, size - start))};
}

// Which taps there are along one side, and the number of each output position's.
std::vector<Taps> classes(int outputs, int stride, int pad, int kernel, int size, std::vector<int>& of) {
    std::vector<Taps> found;
    for (int position = 0; position < outputs; ++position) {
        const Taps here = taps(position, stride, pad, kernel, size);
        auto known = std::find(found.begin(), found.end(), here);
        of.push_back(int(known - found.begin()));
        if (known == found.end()) found.push_back(here);
    }
    return found;
}

}  // namespace

struct ep_layer {
    ep_shape shape;
    const Set* set;
    Geometry geometry;
    int out_height, out_width, group_channels, group_outputs, lanes;
    Lines<uint8_t> weights;              // of all groups, as the set reads them
    ptrdiff_t group_weights;             // bytes of one group's
    std::vector<int> row_class, column_class;
    int column_classes;
    std::vector<int32_t> base;           // [class][outputs]: a sum is base - 2 * differences
    Lines<uint16_t> limit;               // [class, or pixel][outputs]: a bit is 1 where there are fewer differences than that
    bool everywhere;                     // thresholds are those of single pixels
    Lines<uint8_t> image;                // scratch
    std::vector<uint8_t> shifted;        // scratch: a pixel's activations of a group, from a byte's first bit on
    int kind(int pixel) const { return row_class[pixel / out_width] * column_classes + column_class[pixel % out_width]; }
    Lines<uint16_t> differences;         // scratch: [BATCH][lanes]
    Lines<uint8_t> run;                  // scratch: [RUN][outputs of a group], four bytes each
};

namespace {

// Writes the activations of a group into the padded image, whose border stays as it was made: zeros.
void fill(ep_layer& layer, const uint8_t* input, int group) {
    const ep_shape& s = layer.shape;
    const Geometry& g = layer.geometry;
    const int bytes = ceil_div(s.channels, 8), first = group * layer.group_channels, mine = ceil_div(layer.group_channels, 8);
    std::vector<uint8_t>& shifted = layer.shifted;
    for (int y = 0; y < s.height; ++y) {
        for (int x = 0; x < s.width; ++x) {
            const uint8_t* from = input + (ptrdiff_t(y) * s.width + x) * bytes + first / 8;
            if (first % 8) {
                for (int b = 0; b < mine; ++b) {
                    const int next = first / 8 + b + 1 < bytes ? from[b + 1] : 0;
                    shifted[b] = uint8_t((from[b] | next << 8) >> first % 8);
                }
                from = shifted.data();
            }
            const ptrdiff_t place = (ptrdiff_t(y + s.pad_h) * g.columns + x + s.pad_w) * g.pixel;
            uint8_t last = from[mine - 1];
            if (layer.group_channels % 8) last &= uint8_t((1 << layer.group_channels % 8) - 1);
            if (layer.set->unit_bits == 4) {
                auto to = reinterpret_cast<uint16_t*>(layer.image.data()) + place;
                for (int b = 0; b < mine; ++b) {
                    const uint8_t byte = b + 1 < mine ? from[b] : last;
                    to[2 * b] = uint16_t((byte & 15) << 4);
                    to[2 * b + 1] = uint16_t(byte & 240);
                }
            } else {
                uint8_t* to = layer.image.data() + place * layer.set->unit_bytes;
                std::memcpy(to, from, size_t(mine));
                to[mine - 1] = last;
            }
        }
    }
}

// Puts one weight's bit where the instruction set wants it.
void place_weight(ep_layer& layer, int group, int output, int run, int column, int channel) {
    const Set& set = *layer.set;
    const Geometry& g = layer.geometry;
    const int unit = column * g.pixel + channel / set.unit_bits, inside = channel % set.unit_bits;
    const ptrdiff_t units = ptrdiff_t(g.runs) * g.run, number = ptrdiff_t(run) * g.run + unit;
    uint8_t* to = layer.weights.data() + group * layer.group_weights;
    if (set.unit_bits == 4)  // [outputs / 64][units][64], a byte each
        to[(output / 64 * units + number) * 64 + output % 64] |= uint8_t(1 << inside);
    else if (set.unit_bits == 8)  // [outputs / 16][units][16], a byte each
        to[(output / 16 * units + number) * 16 + output % 16] |= uint8_t(1 << inside);
    else {  // [outputs / lanes][units][lanes], eight bytes each
        const int lanes = set.lanes == 1 ? 1 : 8;
        to[((output / lanes * units + number) * lanes + output % lanes) * 8 + inside / 8] |= uint8_t(1 << inside % 8);
    }
}

bool sensible(const ep_shape& s) {
    const int32_t all[] = {s.channels, s.height, s.width, s.outputs, s.kernel_h, s.kernel_w, s.stride_h, s.stride_w, s.groups};
    for (int32_t each : all)
        if (each < 1 || each > 1 << 16) return false;
    if (s.pad_h < 0 || s.pad_w < 0 || s.pad_h >= s.kernel_h || s.pad_w >= s.kernel_w) return false;
    if (s.channels % s.groups || s.outputs % s.groups) return false;
    if (s.height + 2 * s.pad_h < s.kernel_h || s.width + 2 * s.pad_w < s.kernel_w) return false;
    if (int64_t(s.channels / s.groups) * s.kernel_h * s.kernel_w > MOST_PLACES) return false;
    const int64_t rows = int64_t(s.height) + 2 * s.pad_h, columns = int64_t(s.width) + 2 * s.pad_w;
    return rows * columns * ceil_div(std::max(s.channels, s.outputs), 64) * 64 <= MOST_NUMBERS;
}

template <class Finish>
void each_tile(ep_layer& layer, const uint8_t* input, Finish finish) {
    const Geometry& g = layer.geometry;
    const int pixels = layer.out_height * layer.out_width;
    for (int group = 0; group < layer.shape.groups; ++group) {
        fill(layer, input, group);
        for (int first = 0; first < pixels; first += BATCH) {
            const int count = std::min(BATCH, pixels - first);
            ptrdiff_t starts[BATCH];
            for (int p = 0; p < count; ++p) {
                const int y = (first + p) / layer.out_width, x = (first + p) % layer.out_width;
                starts[p] = (ptrdiff_t(y) * layer.shape.stride_h * g.columns + x * layer.shape.stride_w) * g.pixel;
            }
            layer.set->count(layer.image.data(), starts, count, g, layer.weights.data() + group * layer.group_weights, layer.lanes,
                             layer.differences.data());
            for (int p = 0; p < count; ++p) finish(first + p, group, layer.differences.data() + ptrdiff_t(p) * layer.lanes);
        }
    }
}

// From sums to differences: a sum is at least the threshold where there are few enough.
void set_limits(ep_layer& layer, const int32_t* thresholds, bool everywhere) {
    const int outputs = layer.shape.outputs, pixels = layer.out_height * layer.out_width;
    layer.everywhere = everywhere;
    const int rows = everywhere ? pixels : int(layer.base.size()) / outputs;
    layer.limit.reserve(size_t(rows) * outputs);
    for (int row = 0; row < rows; ++row) {
        const int kind = everywhere ? layer.kind(row) : row;
        for (int output = 0; output < outputs; ++output) {
            const int64_t threshold = thresholds[everywhere ? ptrdiff_t(row) * outputs + output : output];
            const int64_t room = int64_t(layer.base[size_t(kind) * outputs + output]) - threshold;
            layer.limit.push_back(uint16_t(room < 0 ? 0 : std::min<int64_t>(65535, room / 2 + 1)));
        }
    }
}

ep_layer* open(const ep_shape& shape, const uint8_t* weights, const int32_t* thresholds, bool everywhere, const Set& set) {
    std::unique_ptr<ep_layer> layer(new (std::nothrow) ep_layer());
    if (!layer) return nullptr;
    try {
        const ep_shape& s = layer->shape = shape;
        const Set* chosen = layer->set = &set;
        layer->group_channels = s.channels / s.groups;
        layer->group_outputs = s.outputs / s.groups;
        layer->lanes = ceil_div(layer->group_outputs, chosen->lanes) * chosen->lanes;
        layer->out_height = (s.height + 2 * s.pad_h - s.kernel_h) / s.stride_h + 1;
        layer->out_width = (s.width + 2 * s.pad_w - s.kernel_w) / s.stride_w + 1;
        Geometry& g = layer->geometry;
        g.rows = s.height + 2 * s.pad_h;
        g.columns = s.width + 2 * s.pad_w;
        g.pixel = chosen->unit_bits == 4 ? 2 * ceil_div(layer->group_channels, 8) : ceil_div(layer->group_channels, chosen->unit_bits);
        g.runs = s.kernel_h;
        g.run = s.kernel_w * g.pixel;
        g.next_run = g.columns * g.pixel;
        const int unit = chosen->unit_bits == 4 ? 1 : chosen->unit_bits / 8;  // bytes of an output's weights in a unit
        layer->group_weights = ptrdiff_t(g.runs) * g.run * layer->lanes * unit;
        layer->weights.assign(size_t(layer->group_weights * s.groups), 0);
        layer->image.assign(size_t(g.rows) * g.columns * g.pixel * chosen->unit_bytes, 0);
        layer->shifted.resize(size_t(ceil_div(layer->group_channels, 8)));
        layer->differences.resize(size_t(BATCH) * layer->lanes);
        layer->run.resize(size_t(RUN) * layer->group_outputs * 4);
        const auto rows = classes(layer->out_height, s.stride_h, s.pad_h, s.kernel_h, s.height, layer->row_class);
        const auto columns = classes(layer->out_width, s.stride_w, s.pad_w, s.kernel_w, s.width, layer->column_class);
        layer->column_classes = int(columns.size());
        const int bytes = ceil_div(layer->group_channels, 8);
        // Ones of an output's taps above and left of each, so that those of any window's part are four numbers.
        const int across = s.kernel_w + 1;
        const size_t corners = size_t(s.kernel_h + 1) * across;
        std::vector<int> ones(size_t(s.outputs) * corners, 0);
        const uint8_t* from = weights;
        for (int output = 0; output < s.outputs; ++output) {
            int* here = ones.data() + output * corners;
            for (int row = 0; row < s.kernel_h; ++row)
                for (int column = 0; column < s.kernel_w; ++column, from += bytes) {
                    int count = 0;
                    for (int channel = 0; channel < layer->group_channels; ++channel)
                        if (bit(from, channel)) {
                            ++count;
                            place_weight(*layer, output / layer->group_outputs, output % layer->group_outputs, row, column, channel);
                        }
                    int* corner = here + size_t(row + 1) * across + column + 1;
                    *corner = count + corner[-1] + corner[-across] - corner[-across - 1];
                }
        }
        for (const Taps& tall : rows)
            for (const Taps& wide : columns)
                for (int output = 0; output < s.outputs; ++output) {
                    // A tap beyond the edge counts as zeros: it adds as many differences as it has ones, and no product.
                    const int* here = ones.data() + output * corners;
                    auto before = [&](int row, int column) { return here[size_t(row) * across + column]; };
                    const int inside = before(tall.high, wide.high) - before(tall.low, wide.high) - before(tall.high, wide.low) +
                                       before(tall.low, wide.low);
                    const int taps = (tall.high - tall.low) * (wide.high - wide.low);
                    layer->base.push_back(taps * layer->group_channels + 2 * (before(s.kernel_h, s.kernel_w) - inside));
                }
        if (thresholds) set_limits(*layer, thresholds, everywhere);
        return layer.release();
    } catch (const std::bad_alloc&) {
        return nullptr;
    }
}

// Every sum, by way of `made(output, sum)`, to [outputs][pixels]. A run of pixels at a time: one by one, each number would touch
// a line of the cache of its own. What is made of a pixel's sums is made before they are turned round, while they lie side by side.
template <class Number, class Made>
void each_sum(ep_layer* layer, const uint8_t* input, Number* to, Made made) {
    const ep_shape& s = layer->shape;
    const ptrdiff_t plane = ptrdiff_t(layer->out_height) * layer->out_width;
    static_assert(sizeof(Number) == 4, "a run has four bytes for each");
    auto run = reinterpret_cast<Number*>(layer->run.data());  // [RUN][outputs of a group]
    const int mine = layer->group_outputs;
    each_tile(*layer, input, [&](int pixel, int group, const uint16_t* differences) {
        const int first = group * mine, place = pixel % RUN;
        const int32_t* base = layer->base.data() + ptrdiff_t(layer->kind(pixel)) * s.outputs + first;
        Number* here = run + place * mine;
        for (int each = 0; each < mine; ++each) here[each] = made(first + each, base[each] - 2 * int32_t(differences[each]));
        if (place + 1 < RUN && pixel + 1 < plane) return;
        for (int each = 0; each < mine; ++each) {
            Number* row = to + (first + each) * plane + pixel - place;
            for (int p = 0; p <= place; ++p) row[p] = run[p * mine + each];
        }
    });
}

void sums(ep_layer* layer, const uint8_t* input, int32_t* output) {
    each_sum(layer, input, output, [](int, int32_t sum) { return sum; });
}

// Whether a set gives what plain arithmetic does: with odd numbers of channels and outputs, a border, and sums that fill a byte.
bool right(const Set& set) {
    const ep_shape s = {70, 4, 3, 67, 3, 3, 1, 1, 1, 1, 1};
    constexpr int BYTES = 9;
    uint8_t weights[67 * 9 * BYTES], input[4 * 3 * BYTES];
    uint32_t state = 1;
    auto draw = [&](uint8_t* to, size_t size) {
        for (size_t i = 0; i < size; ++i) {
            state = state * 1664525u + 1013904223u;
            to[i] = i % BYTES == BYTES - 1 ? uint8_t(state >> 26) : uint8_t(state >> 24);
        }
    };
    draw(weights, sizeof weights);
    draw(input, sizeof input);
    std::memset(input, 255, BYTES - 1);  // and a pixel that differs everywhere from a tap
    std::memset(weights + 4 * BYTES, 0, BYTES);
    std::unique_ptr<ep_layer> layer(open(s, weights, nullptr, false, set));
    if (!layer) return false;
    std::vector<int32_t> found(67 * 12);
    sums(layer.get(), input, found.data());
    for (int output = 0; output < 67; ++output)
        for (int y = 0; y < 4; ++y)
            for (int x = 0; x < 3; ++x) {
                int sum = 0;
                for (int tap = 0; tap < 9; ++tap) {
                    const int row = y + tap / 3 - 1, column = x + tap % 3 - 1;
                    if (row < 0 || row >= 4 || column < 0 || column >= 3) continue;
                    for (int channel = 0; channel < 70; ++channel) {
                        const int a = bit(input + (row * 3 + column) * BYTES, channel);
                        sum += a == bit(weights + (output * 9 + tap) * BYTES, channel) ? 1 : -1;
                    }
                }
                if (found[(output * 4 + y) * 3 + x] != sum) return false;
            }
    return true;
}

// The sets that work here, the fastest first; tried once.
const std::vector<const Set*>& working() {
    static const std::vector<const Set*> found = [] {
        std::vector<const Set*> sets;
        for (const Set& set : SETS)
            if (set.usable() && right(set)) sets.push_back(&set);
        return sets;
    }();
    return found;
}

}  // namespace

extern "C" {

const char* ep_instruction_set(int number) {
    return number >= 0 && number < int(working().size()) ? working()[size_t(number)]->name : nullptr;
}

int ep_possible(const ep_shape* shape) { return shape && sensible(*shape); }

ep_layer* ep_open(const ep_shape* shape, const uint8_t* weights, const int32_t* thresholds, int everywhere, const char* instruction_set) {
    if (!weights || !ep_possible(shape)) return nullptr;
    for (const Set* set : working())
        if (!instruction_set || !std::strcmp(set->name, instruction_set)) return open(*shape, weights, thresholds, everywhere != 0, *set);
    return nullptr;
}

void ep_close(ep_layer* layer) { delete layer; }

void ep_bits(ep_layer* layer, const uint8_t* input, uint8_t* output) {
    const ep_shape& s = layer->shape;
    const int bytes = ceil_div(s.outputs, 8);
    std::memset(output, 0, size_t(layer->out_height) * layer->out_width * bytes);
    each_tile(*layer, input, [&](int pixel, int group, const uint16_t* differences) {
        uint8_t* to = output + ptrdiff_t(pixel) * bytes;
        const int first = group * layer->group_outputs;
        const uint16_t* limit = layer->limit.data() + ptrdiff_t(layer->everywhere ? pixel : layer->kind(pixel)) * s.outputs + first;
        int done = 0;
        if (first % 8 == 0)
            for (; done + 16 <= layer->group_outputs; done += 16) {
                const unsigned both = below(differences + done, limit + done);
                to[(first + done) / 8] = uint8_t(both);
                to[(first + done) / 8 + 1] = uint8_t(both >> 8);
            }
        for (; done < layer->group_outputs; ++done)
            to[(first + done) / 8] |= uint8_t((differences[done] < limit[done]) << (first + done) % 8);
    });
}

void ep_sums(ep_layer* layer, const uint8_t* input, int32_t* output) { sums(layer, input, output); }

void ep_floats(ep_layer* layer, const uint8_t* input, const float* scale, const float* offset, float* output) {
    each_sum(layer, input, output, [=](int each, int32_t sum) {
        const float product = float(sum) * scale[each];
        return product + offset[each];
    });
}

}  // extern "C"
