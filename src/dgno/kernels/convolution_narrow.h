/* One instruction set's version of the dense 3x3 convolution to few outputs, straight from its definition: a vector of
 * outputs would stand empty, so the vectors are of inputs. Included by convolution.c once per set. */

#define VF NAME(vector)
#define VI NAME(integers)

/* sums[p] += the kernel's products at pixel `left` + p of row y, for LANES pixels; those beyond the map count
 * nothing. */
static inline __attribute__((always_inline)) TARGET void NAME(add_taps)(const struct convolution *s, const float *map,
    const float *taps, long y, long left, VF *sums, const int is_inside) {
    const long c = s->inputs;
    for (long dy = -1; dy <= 1; dy++) {
        if (y + dy < 0 || y + dy >= s->height) continue;
        for (long dx = -1; dx <= 1; dx++) {
            const float *from = map + ((y + dy) * s->width + left + dx) * c, *tap = taps + (3 * dy + dx + 4) * c;
            for (long k = 0; k < c; k += LANES) {
                const VF weight = NAME(load)(tap + k, LANES);
                for (long p = 0; p < LANES; p++)
                    if (is_inside || (left + p + dx >= 0 && left + p + dx < s->width))
                        sums[p] += weight * NAME(load)(from + p * c + k, LANES);
            }
        }
    }
}

/* Row i of all images; inputs are whole vectors, and `packed` is (outputs, 3, 3, inputs). */
static TARGET void NAME(narrow_row)(const struct convolution *s, long i) {
    const long y = i % s->height, first = i / s->height * s->height * s->width;
    const float *map = s->x + first * s->inputs;
    for (long left = 0; left < s->width; left += LANES)
        for (long o = 0; o < s->outputs; o++) {
            const float *taps = s->packed + o * 9 * s->inputs;
            const long pixels = s->width - left < LANES ? s->width - left : LANES;
            VF sums[LANES] = {{0}};
            if (left && left + LANES < s->width)
                NAME(add_taps)(s, map, taps, y, left, sums, 1);
            else
                NAME(add_taps)(s, map, taps, y, left, sums, 0);
            const VF result = NAME(sums)(sums) + (s->bias ? s->bias[o] : 0.0f);
            for (long p = 0; p < pixels; p++) s->out[(first + y * s->width + left + p) * s->outputs + o] = result[p];
        }
}

#undef VF
#undef VI
