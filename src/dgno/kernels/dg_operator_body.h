/* The DG operator on one row of the grid of elements, for one head width and instruction set: included by
 * dg_operator_versions.h, which defines NAME, TARGET, LANES and WIDTH as for dg_operator_element.h.
 *
 * Element after element, group of heads after group of heads; so what is read of memory is read once. */

#include "dg_operator_element.h"

#include "dg_operator_apply.h"
#include "dg_operator_gradient.h"

#define GROUPS(s) (((s)->heads + HEADS - 1) / HEADS)

/* What a task needs besides: blocks of an element, norms and their gradients for all groups. In floats; the
 * steps take their memory as vectors, so it must be aligned to them. */
static long NAME(workspace)(const struct dg *s) {
    return (s->ph * ((s->pw + TOGETHER - 1) / TOGETHER) * 2 + GROUPS(s) * 8) * WIDTH * LANES;
}

/* The first head of a group: the last group ends with the last head and overlaps the one before. */
INLINE TARGET long NAME(first_head)(const struct dg *s, long group) {
    const long last = s->heads < HEADS ? 0 : s->heads - HEADS;
    return group * HEADS < last ? group * HEADS : last;
}

INLINE TARGET struct dg_element NAME(element)(const struct dg *s) {
    return (struct dg_element){s->ph, s->pw, s->heads, (int)(s->heads < HEADS ? s->heads : HEADS), s->pw};
}

/* Vectors of the norms, (2, heads, d) in memory, of a group of heads; 0 for missing heads. */
INLINE TARGET void NAME(load_norms)(const struct dg *s, long group, VF *norms) {
    const long c = s->heads * WIDTH;
    const float *const sources[4] = {s->key_norm, s->key_norm + c, s->value_norm, s->value_norm + c};
    float *to = (float *)norms;
    for (int n = 0; n < 4; n++)
        for (int i = 0; i < WIDTH; i++)
            for (int lane = 0; lane < LANES; lane++) {
                const long h = NAME(first_head)(s, group) + lane % HEADS;
                *to++ = h < s->heads ? sources[n][h * WIDTH + i] : 0;
            }
}

/* The operators of all elements of one row of the grid: k^T v over the element and, if wanted, over its four sides. */
TARGET static void NAME(integrate)(const struct dg *s, long strip, float *memory) {
    const long c = s->heads * WIDTH, w = s->columns * s->pw;
    const long size = s->heads * SQUARE, all = s->batch * s->rows * s->columns * size; /* of operators */
    VF *norms = (VF *)memory, *blocks = norms + GROUPS(s) * 8 * WIDTH;
    for (long group = 0; group < GROUPS(s); group++) NAME(load_norms)(s, group, norms + group * 4 * WIDTH);
    for (long column = 0; column < s->columns; column++)
        for (long group = 0; group < GROUPS(s); group++) {
            const struct dg_element e = NAME(element)(s);
            const long h = NAME(first_head)(s, group);
            const float *kv = s->kv + (strip * s->ph * w + column * s->pw) * 2 * c + h * WIDTH;
            const struct dg_map k = {kv, 2 * c, w * 2 * c}, v = {kv + c, 2 * c, w * 2 * c};
            const long at = (strip * s->columns + column) * size + OPERATOR_OF(h);
            float *sides[4];
            for (int f = 0; f < 4; f++) sides[f] = s->sides ? s->sides + f * all + at : NULL;
            NAME(integrate_element)(
                &e, k, v, norms + group * 4 * WIDTH, blocks, s->volume + at, s->sides ? sides : NULL);
        }
}

TARGET static void NAME(integrate_backward)(const struct dg *s, long strip, float *memory) {
    const long c = s->heads * WIDTH, w = s->columns * s->pw;
    const long size = s->heads * SQUARE, all = s->batch * s->rows * s->columns * size; /* of operators */
    VF *norms = (VF *)memory, *gnorms = norms + GROUPS(s) * 4 * WIDTH;
    for (long group = 0; group < GROUPS(s); group++) NAME(load_norms)(s, group, norms + group * 4 * WIDTH);
    memset(gnorms, 0, (size_t)(GROUPS(s) * 4 * WIDTH) * sizeof(VF));
    for (long column = 0; column < s->columns; column++)
        for (long group = 0; group < GROUPS(s); group++) {
            const struct dg_element e = NAME(element)(s);
            const long h = NAME(first_head)(s, group);
            const long pixel = (strip * s->ph * w + column * s->pw) * 2 * c + h * WIDTH;
            const struct dg_map k = {s->kv + pixel, 2 * c, w * 2 * c}, v = {s->kv + pixel + c, 2 * c, w * 2 * c};
            const long at = (strip * s->columns + column) * size + OPERATOR_OF(h);
            const float *gsides[4];
            for (int f = 0; f < 4; f++) gsides[f] = s->gsides ? s->gsides + f * all + at : NULL;
            NAME(integrate_element_backward)(
                &e, k, v, norms + group * 4 * WIDTH, s->gvolume + at, s->gsides ? gsides : NULL, s->gkv + pixel,
                s->gkv + pixel + c, gnorms + group * 4 * WIDTH);
        }
    float *const targets[4] = {s->gkey_norm + strip * 2 * c, s->gkey_norm + strip * 2 * c + c,
                               s->gvalue_norm + strip * 2 * c, s->gvalue_norm + strip * 2 * c + c};
    for (long group = 0; group < GROUPS(s); group++)
        for (int n = 0; n < 4; n++)
            for (int i = 0; i < WIDTH; i++)
                for (int h = 0; h < HEADS && h < s->heads; h++) {
                    const VF *g = gnorms + (group * 4 + n) * WIDTH + i;
                    float sum = 0;
                    for (int t = 0; t < TOGETHER; t++) sum += (*g)[t * HEADS + h];
                    targets[n][(NAME(first_head)(s, group) + h) * WIDTH + i] = sum;
                }
}

/* Where heads are vectors, one group has them all. */
#undef APPLY_GROUPS
#define APPLY_GROUPS(s) (WIDTH % 3 ? 1 : GROUPS(s))

INLINE TARGET struct dg_element NAME(apply_group)(const struct dg *s, long group, long *first) {
    struct dg_element e = NAME(element)(s);
    *first = WIDTH % 3 ? 0 : NAME(first_head)(s, group);
    if (WIDTH % 3) e.heads = (int)s->heads;
    return e;
}

/* q K, or q K + z, at every token of one row of the grid. */
TARGET static void NAME(apply)(const struct dg *s, long strip, float *memory) {
    (void)memory;
    const long c = s->heads * WIDTH, w = s->columns * s->pw;
    for (long column = 0; column < s->columns; column++)
        for (long group = 0, h; group < APPLY_GROUPS(s); group++) {
            const struct dg_element e = NAME(apply_group)(s, group, &h);
            const long pixel = (strip * s->ph * w + column * s->pw) * c + h * WIDTH;
            const long at = (strip * s->columns + column) * s->heads * SQUARE + OPERATOR_OF(h);
            const struct dg_map q = {s->q + pixel, c, w * c};
            const struct dg_map onto = {s->onto + pixel, c, w * c};
            const struct dg_target out = {s->out + pixel, c, w * c};
            NAME(apply_element)(&e, q, s->operators + at, s->onto ? &onto : NULL, out);
        }
}

TARGET static void NAME(apply_backward)(const struct dg *s, long strip, float *memory) {
    VF *blocks = (VF *)memory + GROUPS(s) * 8 * WIDTH;
    const long c = s->heads * WIDTH, w = s->columns * s->pw;
    for (long column = 0; column < s->columns; column++)
        for (long group = 0, h; group < APPLY_GROUPS(s); group++) {
            const struct dg_element e = NAME(apply_group)(s, group, &h);
            const long pixel = (strip * s->ph * w + column * s->pw) * c + h * WIDTH;
            const long at = (strip * s->columns + column) * s->heads * SQUARE + OPERATOR_OF(h);
            const struct dg_map q = {s->q + pixel, c, w * c};
            NAME(apply_element_backward)(
                &e, q, s->operators + at, s->gout + pixel, blocks, s->gq + pixel, s->goperators + at);
        }
}

#undef GROUPS
#undef VF
#undef VI
