// What this machine can do at most, from registers alone: multiply-adds of floats, and differences of bits counted, each by the
// instructions that the kernels of an instruction set use. The kernels' ceiling is the ratio of the two.

#include <chrono>
#include <cstring>

#include "binary.h"

#if defined(__x86_64__)
#include <immintrin.h>
#elif defined(__ARM_NEON)
#include <arm_neon.h>
#endif

namespace {

constexpr int CHAINS = 12, STEPS = 1000, REPEATS = 50;

// Products a nanosecond in the fastest of many runs: an interrupted run is slower, none is too fast.
template <class Work>
double fastest(double products, Work work) {
    double best = 0;
    for (int repeat = 0; repeat < REPEATS; ++repeat) {
        const auto start = std::chrono::steady_clock::now();
        work();
        const std::chrono::duration<double, std::nano> took = std::chrono::steady_clock::now() - start;
        if (products / took.count() > best) best = products / took.count();
    }
    return best;
}

// A function of STEPS steps, each of CHAINS sums that do not wait for each other: by name, for those of an array would be kept in
// memory. What no compiler sees through (KEEP) is what it cannot leave out.
#define MEASURED(name, options, Vector, nothing, operands, step)                                                     \
    options void name() {                                                                                            \
        Vector s0 = nothing, s1 = s0, s2 = s0, s3 = s0, s4 = s0, s5 = s0, s6 = s0, s7 = s0, s8 = s0, s9 = s0, s10 = s0, s11 = s0; \
        operands;                                                                                                    \
        for (int i = 0; i < STEPS; ++i) {                                                                            \
            step(s0) step(s1) step(s2) step(s3) step(s4) step(s5) step(s6) step(s7) step(s8) step(s9) step(s10) step(s11) \
        }                                                                                                            \
    }

#if defined(__x86_64__)
#define KEEP(x) __asm__ volatile("" : "+v"(x));
#define AVX2 __attribute__((target("avx2,fma")))
#define AVX512 __attribute__((target("avx512f,avx512vpopcntdq")))
#define FMA_256(s) s = _mm256_fmadd_ps(a, b, s); KEEP(s)
#define FMA_512(s) s = _mm512_fmadd_ps(a, b, s); KEEP(s)
#define COUNT_256(s) KEEP(w) s = _mm256_add_epi8(s, _mm256_shuffle_epi8(row, w)); KEEP(s)
#define COUNT_512(s) KEEP(w) s = _mm512_add_epi64(s, _mm512_popcnt_epi64(_mm512_xor_si512(x, w))); KEEP(s)
MEASURED(floats_avx2, AVX2, __m256, _mm256_setzero_ps(), __m256 a = _mm256_set1_ps(1.0f); __m256 b = _mm256_set1_ps(1e-9f), FMA_256)
MEASURED(floats_avx512, AVX512, __m512, _mm512_setzero_ps(), __m512 a = _mm512_set1_ps(1.0f); __m512 b = _mm512_set1_ps(1e-9f), FMA_512)
MEASURED(bits_avx2, AVX2, __m256i, _mm256_setzero_si256(), __m256i row = _mm256_set1_epi8(1); __m256i w = _mm256_set1_epi8(3), COUNT_256)
MEASURED(bits_avx512, AVX512, __m512i, _mm512_setzero_si512(), __m512i x = _mm512_set1_epi64(5); __m512i w = _mm512_set1_epi64(9), COUNT_512)
#elif defined(__ARM_NEON)
#define KEEP(x) __asm__ volatile("" : "+w"(x));
#define MULTIPLY(s) s = vmlaq_f32(s, a, b); KEEP(s)
#define COUNT(s) KEEP(w) s = vaddq_u8(s, vcntq_u8(veorq_u8(x, w))); KEEP(s)
MEASURED(floats_neon, , float32x4_t, vdupq_n_f32(0), float32x4_t a = vdupq_n_f32(1.0f); float32x4_t b = vdupq_n_f32(1e-9f), MULTIPLY)
MEASURED(bits_neon, , uint8x16_t, vdupq_n_u8(0), uint8x16_t x = vdupq_n_u8(5); uint8x16_t w = vdupq_n_u8(9), COUNT)
#endif

}  // namespace

// Products of +-1 a nanosecond, and multiply-adds of floats in `floats`, in one thread; 0 for a set without a measure.
extern "C" EP_PUBLIC double ep_peak(const char* set, double* floats) {
    [[maybe_unused]] constexpr double calls = double(CHAINS) * STEPS;
    *floats = 0;
#if defined(__x86_64__)
    if (!std::strcmp(set, "avx512")) return *floats = fastest(16 * calls, floats_avx512), fastest(512 * calls, bits_avx512);
    if (!std::strcmp(set, "avx2")) return *floats = fastest(8 * calls, floats_avx2), fastest(128 * calls, bits_avx2);
#elif defined(__ARM_NEON)
    if (!std::strcmp(set, "neon")) return *floats = fastest(4 * calls, floats_neon), fastest(128 * calls, bits_neon);
#endif
    return 0;
}
