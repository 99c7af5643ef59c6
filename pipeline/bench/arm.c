/* One inference of a C file's network, for the counting emulator (targets/emulator/count.c): a call of nothing, and a run. */
#include SOURCE
#include <unistd.h>
#define JOIN_(a, b) a##b
#define JOIN(a, b) JOIN_(a, b)
enum { MARKER = 9999, REPEATS = 9 };
long syscall(long number, ...);

int main(void) {
    static float in[JOIN(NET, _INPUT)], out[JOIN(NET, _OUTPUT)];
    for (int i = 0; i < JOIN(NET, _INPUT); ++i) in[i] = (float)(i * 37 % 101) / 50 - 1;
    if (JOIN(NET, _open)()) return 1;
    JOIN(NET, _run)(in, out);
    for (int repeat = 0; repeat < REPEATS; ++repeat) {
        for (int place = 0; place < 2; ++place) syscall(MARKER, place);
        syscall(MARKER, 2);
        JOIN(NET, _run)(in, out);
        syscall(MARKER, 3);
    }
    JOIN(NET, _close)();
    return 0;
}
