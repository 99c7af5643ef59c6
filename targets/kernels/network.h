// A packed network: a file of layers of +-1, from floats to floats. See network.cpp for what is in it.
#pragma once

#include "binary.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct ep_network ep_network;

// Of the bytes of a packed file, which are not needed afterwards. NULL where they are none, with the reason in `why` (a line of at
// most `room` bytes, its end among them); an instruction set as for `ep_open`.
EP_PUBLIC ep_network* ep_network_open(const uint8_t* bytes, size_t size, const char* instruction_set, char* why, size_t room);
EP_PUBLIC void ep_network_close(ep_network* network);

// How many floats a sample takes and gives: channels, height and width of both.
EP_PUBLIC void ep_network_shape(const ep_network* network, int32_t input[3], int32_t output[3]);

// Floats [batch][channels][height][width] in and out. One thread at a time, of which it uses no other.
EP_PUBLIC void ep_network_run(ep_network* network, const float* input, int32_t batch, float* output);

#ifdef __cplusplus
}
#endif
