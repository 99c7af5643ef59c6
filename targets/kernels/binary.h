// Layers of +-1: see binary.cpp. A bit of 1 is +1, one of 0 is -1; channels come first, from the lowest bit of each byte,
// and the last byte of a pixel or tap is filled with zeros.
#pragma once

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct {
    int32_t channels, height, width;  // of the input
    int32_t outputs, kernel_h, kernel_w, stride_h, stride_w, pad_h, pad_w, groups;
} ep_shape;  // a linear layer is a convolution whose kernel is the whole image

typedef struct ep_layer ep_layer;

#define EP_PUBLIC __attribute__((visibility("default")))

// The usable instruction sets by number from 0, the fastest first; NULL behind the last.
EP_PUBLIC const char* ep_instruction_set(int number);

// Whether there can be a layer of this shape: whole positive sides, windows within the image, and sums of at most 65,534.
EP_PUBLIC int ep_possible(const ep_shape* shape);

// Weights [outputs][kernel_h][kernel_w][ceil(channels / groups / 8)]; thresholds [outputs], or if `everywhere` [out_height]
// [out_width][outputs], or NULL: a bit is 1 where the sum is at least that. NULL for a shape that cannot be, an instruction set
// that is not usable (NULL: the fastest) or lack of memory.
EP_PUBLIC ep_layer* ep_open(const ep_shape* shape, const uint8_t* weights, const int32_t* thresholds, int everywhere,
                            const char* instruction_set);
EP_PUBLIC void ep_close(ep_layer* layer);

// Input [height][width][ceil(channels / 8)] -> bits [out_height][out_width][ceil(outputs / 8)].
EP_PUBLIC void ep_bits(ep_layer* layer, const uint8_t* input, uint8_t* output);
// The sums themselves: int32 [outputs][out_height][out_width].
EP_PUBLIC void ep_sums(ep_layer* layer, const uint8_t* input, int32_t* output);
// scale * sum + offset, a float each an output: [outputs][out_height][out_width]. Product and sum are rounded one by one.
EP_PUBLIC void ep_floats(ep_layer* layer, const uint8_t* input, const float* scale, const float* offset, float* output);

#ifdef __cplusplus
}
#endif
