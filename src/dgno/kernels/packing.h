/* Matrices laid out for the products of products.h: the fast twin of packing.py. Included once per library, after
 * versions.h. */

#include <string.h>

#define TOGETHER 64 /* inputs at a time, so that what they become stays in the cache */

struct packing {
    long groups, outputs, inputs;                    /* outputs of each group, padded to whole vectors of their own */
    long group_stride, output_stride, input_stride; /* floats from one to the next */
    long parts;                                     /* see products.h */
    const float *weight;
    void *packed; /* (groups x vectors, inputs, lanes), or as bfloat16 */
};

/* The upper half of a float, rounded to nearest, ties to even. */
static inline unsigned short nearest_half(float x) {
    unsigned bits;
    memcpy(&bits, &x, sizeof bits);
    const unsigned rounded = (bits + 0x7fff + (bits >> 16 & 1)) >> 16;
    return (unsigned short)(x != x ? 0x7fc0 : rounded);
}

static inline float float_of_half(unsigned short half) {
    const unsigned bits = (unsigned)half << 16;
    float x;
    memcpy(&x, &bits, sizeof x);
    return x;
}

/* One output of up to TOGETHER inputs, the first an even one, to its lane; the parts are `size` words apart. */
static void pack_halves(
    const struct packing *s, const float *inputs, long count, long lanes, unsigned *out, long size) {
    float left[TOGETHER] = {0};
    unsigned short parts[TOGETHER];
    for (long k = 0; k < count; k++) left[k] = inputs[k * s->input_stride];
    for (long part = 0; part < s->parts; part++, out += size) {
        for (long k = 0; k < TOGETHER; k++) parts[k] = nearest_half(left[k]);
        for (long k = 0; k < TOGETHER && part + 1 < s->parts; k++) left[k] -= float_of_half(parts[k]);
        for (long k = 0; k < (count + 1) / 2; k++) memcpy(out + k * lanes, parts + 2 * k, sizeof *out);
    }
}

/* One output of up to TOGETHER inputs to its lane. */
static void pack_floats(const struct packing *s, const float *inputs, long count, long lanes, float *out) {
    for (long k = 0; k < count; k++) out[k * lanes] = inputs[k * s->input_stride];
}

int dgno_pack(const struct packing *s, int version, int threads) {
    const long lanes = VERSION_LANES[version], of_group = (s->outputs + lanes - 1) / lanes,
               vectors = s->groups * of_group;
    const long size = lanes * (s->parts ? (s->inputs + 31) / 32 * 16 : s->inputs); /* words of a vector */
    (void)threads;
    if (s->parts || of_group * lanes > s->outputs)
        memset(s->packed, 0, (size_t)(vectors * size * (s->parts ? s->parts : 1)) * sizeof(float));
    for (long first = 0; first < s->outputs; first += lanes)
        for (long k = 0; k < s->inputs; k += TOGETHER) {
            const long left = s->outputs - first, some = left < lanes ? left : lanes, rest = s->inputs - k,
                       count = rest < TOGETHER ? rest : TOGETHER;
            for (long i = 0; i < some * s->groups; i++) { /* groups innermost: they may be neighbours in memory */
                const long lane = i / s->groups, group = i % s->groups, v = group * of_group + first / lanes;
                const float *inputs = s->weight + group * s->group_stride + (first + lane) * s->output_stride +
                                      k * s->input_stride;
                if (s->parts)
                    pack_halves(s, inputs, count, lanes, (unsigned *)s->packed + v * size + k / 2 * lanes + lane,
                        vectors * size);
                else
                    pack_floats(s, inputs, count, lanes, (float *)s->packed + v * size + k * lanes + lane);
            }
        }
    return 0;
}
