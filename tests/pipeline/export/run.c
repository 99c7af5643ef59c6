// Runs a C file's network: `run IN OUT`, floats of one sample after the other. NET is its name, SOURCE the file that holds it.
#include SOURCE
#include <stdio.h>
#define JOIN_(a, b) a##b
#define JOIN(a, b) JOIN_(a, b)

int main(int count, char** names) {
    static float input[JOIN(NET, _INPUT)], output[JOIN(NET, _OUTPUT)];
    FILE *in, *out;
    if (count != 3 || JOIN(NET, _open)() || JOIN(NET, _open)()) return 1;
    in = fopen(names[1], "rb");
    out = fopen(names[2], "wb");
    while (fread(input, sizeof input, 1, in)) {
        JOIN(NET, _run)(input, output);
        fwrite(output, sizeof output, 1, out);
    }
    JOIN(NET, _close)();
    return fclose(in) || fclose(out);
}
