"""The layers of C files in C99: each a function of pointers and sizes, copied into the files whose networks have it.

Tensors are [channels][height][width] and dense. Where a function computes number by number, it may write where it reads.
"""

from __future__ import annotations

BLOCK = 16
"""Outputs whose weights lie side by side; as many, filled up with zeros, are computed at once."""

LANES = f"""\
// What the processor adds at once, where the compiler can say it; elsewhere one number.
#if defined(__AVX512F__)
typedef float lanes __attribute__((vector_size(64), aligned(4), may_alias));
#elif defined(__AVX__)
typedef float lanes __attribute__((vector_size(32), aligned(4), may_alias));
#elif defined(__SSE2__) || defined(__aarch64__)
typedef float lanes __attribute__((vector_size(16), aligned(4), may_alias));
#else
typedef float lanes;
#endif
enum {{ BLOCK = {BLOCK}, LANES = sizeof(lanes) / sizeof(float), TILE = 8, CHAINS = 4 }};
"""

LAYERS = {
    "bordered": """\
// With zeros around.
static void bordered(const float* from, float* to, int channels, int height, int width, int top, int left, int rows,
                     int columns) {
    memset(to, 0, (size_t)channels * rows * columns * sizeof *to);
    for (int c = 0; c < channels; ++c)
        for (int y = 0; y < height; ++y, from += width)
            memcpy(to + ((size_t)c * rows + y + top) * columns + left, from, width * sizeof *to);
}
""",
    "conv2d": """\
// Weights [groups][outputs / BLOCK][channels][kernel_h][kernel_w][BLOCK], bias [groups][outputs filled up]; channels and outputs
// of a group, rows and columns with their border. TILE pixels share each weight that is read.
static void conv2d(const float* from, float* to, const float* weights, const float* bias, int groups, int channels, int outputs,
                   int rows, int columns, int kernel_h, int kernel_w, int stride_h, int stride_w, int dilation_h, int dilation_w,
                   int height, int width) {
    const int pixels = height * width, taps = channels * kernel_h * kernel_w;
    for (int group = 0; group < groups; ++group, from += (size_t)channels * rows * columns, to += (size_t)outputs * pixels)
        for (int first = 0; first < outputs; first += BLOCK, weights += (size_t)taps * BLOCK, bias += BLOCK)
            for (int begin = 0; begin < pixels; begin += TILE) {
                const float* window[TILE];
                for (int p = 0; p < TILE; ++p) {
                    const int pixel = begin + p < pixels ? begin + p : pixels - 1;
                    window[p] = from + pixel / width * stride_h * columns + pixel % width * stride_w;
                }
                for (int lane = 0; lane < BLOCK && first + lane < outputs; lane += LANES) {
                    lanes sums[TILE];
                    for (int p = 0; p < TILE; ++p) sums[p] = *(const lanes*)(bias + lane);
                    const float* weight = weights + lane;
                    for (int c = 0; c < channels; ++c)
                        for (int i = 0; i < kernel_h; ++i) {
                            const int row = (c * rows + i * dilation_h) * columns;
                            for (int j = 0; j < kernel_w; ++j, weight += BLOCK) {
                                const lanes each = *(const lanes*)weight;
                                for (int p = 0; p < TILE; ++p) sums[p] += window[p][row + j * dilation_w] * each;
                            }
                        }
                    float found[TILE][LANES];
                    memcpy(found, sums, sizeof found);
                    for (int l = 0; l < LANES && first + lane + l < outputs; ++l)
                        for (int p = 0; p < TILE && begin + p < pixels; ++p)
                            to[(size_t)(first + lane + l) * pixels + begin + p] = found[p][l];
                }
            }
}
""",
    "conv2d_of_few": """\
// For groups of few outputs. Weights [groups][outputs][channels][kernel_h][kernel_w], bias [groups][outputs].
static void conv2d_of_few(const float* from, float* to, const float* weights, const float* bias, int groups, int channels,
                          int outputs, int rows, int columns, int kernel_h, int kernel_w, int stride_h, int stride_w,
                          int dilation_h, int dilation_w, int height, int width) {
    for (int group = 0; group < groups; ++group, from += (size_t)channels * rows * columns)
        for (int output = 0; output < outputs; ++output, ++bias, to += height * width) {
            for (int p = 0; p < height * width; ++p) to[p] = *bias;
            for (int c = 0; c < channels; ++c)
                for (int i = 0; i < kernel_h; ++i)
                    for (int j = 0; j < kernel_w; ++j, ++weights)
                        for (int y = 0; y < height; ++y) {
                            const float* x = from + ((size_t)c * rows + y * stride_h + i * dilation_h) * columns + j * dilation_w;
                            float* sums = to + y * width;
                            for (int p = 0; p < width; ++p) sums[p] += *weights * x[p * stride_w];
                        }
        }
}
""",
    "linear": """\
// Weights [outputs / BLOCK][inputs][BLOCK], bias [outputs filled up]; sums run in CHAINS, so that none waits for the one before.
static void linear(const float* from, float* to, const float* weights, const float* bias, int rows, int inputs, int outputs) {
    for (int row = 0; row < rows; ++row, from += inputs, to += outputs)
        for (int first = 0; first < outputs; first += LANES) {
            const int block = first / BLOCK * BLOCK;
            const float* weight = weights + (size_t)block * inputs + first - block;
            const lanes none = {0};
            lanes sums[CHAINS];
            for (int k = 0; k < CHAINS; ++k) sums[k] = none;
            sums[0] = *(const lanes*)(bias + first);
            const int even = inputs - inputs % CHAINS;
            for (int i = 0; i < even; i += CHAINS, weight += CHAINS * BLOCK)
                for (int k = 0; k < CHAINS; ++k) sums[k] += from[i + k] * *(const lanes*)(weight + k * BLOCK);
            for (int i = even; i < inputs; ++i, weight += BLOCK) sums[0] += from[i] * *(const lanes*)weight;
            for (int k = 1; k < CHAINS; ++k) sums[0] += sums[k];
            memcpy(to + first, sums, (outputs - first < LANES ? outputs - first : LANES) * sizeof *to);
        }
}
""",
    "scaled": """\
// A product and a sum of each channel's own.
static void scaled(const float* from, float* to, const float* scale, const float* offset, int channels, int plane) {
    for (int c = 0; c < channels; ++c, from += plane, to += plane)
        for (int p = 0; p < plane; ++p) to[p] = from[p] * scale[c] + offset[c];
}
""",
    "clamp": """\
static void clamp(const float* from, float* to, int size, float low, float high) {
    for (int i = 0; i < size; ++i) {
        const float x = from[i] < low ? low : from[i];
        to[i] = x > high ? high : x;
    }
}
""",
    "add": """\
static void add(const float* a, const float* b, float* to, int size) {
    for (int i = 0; i < size; ++i) to[i] = a[i] + b[i];
}
""",
    "max_pool2d": """\
static void max_pool2d(const float* from, float* to, int channels, int rows, int columns, int kernel_h, int kernel_w,
                       int stride_h, int stride_w, int pad_h, int pad_w, int dilation_h, int dilation_w, int height, int width) {
    for (int c = 0; c < channels; ++c, from += (size_t)rows * columns)
        for (int y = 0; y < height; ++y)
            for (int x = 0; x < width; ++x) {
                float most = -HUGE_VALF;
                for (int i = 0; i < kernel_h; ++i) {
                    const int row = y * stride_h - pad_h + i * dilation_h;
                    if (row < 0 || row >= rows) continue;
                    for (int j = 0; j < kernel_w; ++j) {
                        const int column = x * stride_w - pad_w + j * dilation_w;
                        if (column >= 0 && column < columns && from[row * columns + column] > most)
                            most = from[row * columns + column];
                    }
                }
                *to++ = most;
            }
}
""",
    "avg_pool2d": """\
// What lies in the border counts as zeros, or not at all.
static void avg_pool2d(const float* from, float* to, int channels, int rows, int columns, int kernel_h, int kernel_w,
                       int stride_h, int stride_w, int pad_h, int pad_w, int border_counts, int divisor, int height, int width) {
    for (int c = 0; c < channels; ++c, from += (size_t)rows * columns)
        for (int y = 0; y < height; ++y)
            for (int x = 0; x < width; ++x) {
                int top = y * stride_h - pad_h, left = x * stride_w - pad_w;
                int bottom = top + kernel_h < rows + pad_h ? top + kernel_h : rows + pad_h;
                int right = left + kernel_w < columns + pad_w ? left + kernel_w : columns + pad_w;
                const int whole = (bottom - top) * (right - left);
                top = top < 0 ? 0 : top;
                left = left < 0 ? 0 : left;
                bottom = bottom < rows ? bottom : rows;
                right = right < columns ? right : columns;
                float sum = 0;
                for (int row = top; row < bottom; ++row)
                    for (int column = left; column < right; ++column) sum += from[row * columns + column];
                *to++ = sum / (divisor ? divisor : border_counts ? whole : (bottom - top) * (right - left));
            }
}
""",
    "adaptive_avg_pool2d": """\
static void adaptive_avg_pool2d(const float* from, float* to, int channels, int rows, int columns, int height, int width) {
    for (int c = 0; c < channels; ++c, from += (size_t)rows * columns)
        for (int y = 0; y < height; ++y)
            for (int x = 0; x < width; ++x) {
                const int top = y * rows / height, bottom = ((y + 1) * rows + height - 1) / height;
                const int left = x * columns / width, right = ((x + 1) * columns + width - 1) / width;
                float sum = 0;
                for (int row = top; row < bottom; ++row)
                    for (int column = left; column < right; ++column) sum += from[row * columns + column];
                *to++ = sum / ((bottom - top) * (right - left));
            }
}
""",
    "softmax": """\
static void softmax(const float* from, float* to, int outer, int size, int inner) {
    for (int o = 0; o < outer; ++o)
        for (int n = 0; n < inner; ++n) {
            const float* x = from + (size_t)o * size * inner + n;
            float* y = to + (size_t)o * size * inner + n;
            float most = x[0], sum = 0;
            for (int i = 1; i < size; ++i) most = x[i * inner] > most ? x[i * inner] : most;
            for (int i = 0; i < size; ++i) sum += y[i * inner] = expf(x[i * inner] - most);
            for (int i = 0; i < size; ++i) y[i * inner] /= sum;
        }
}
""",
}
VECTORS = ("conv2d", "linear")
"""Those that need LANES."""
