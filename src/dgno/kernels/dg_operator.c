/* The DG operator's kernel integrals and their application in plain C, forward and backward: the fast twin of
 * dg_operator.py, which says what each step computes.
 *
 * Maps are channels-last: the channels of a pixel side by side. A row of the grid of elements is one task; tasks are
 * spread over threads (OpenMP) and write to places of their own, so results do not depend on the number of threads. */


#include "tasks.h"
#include "versions.h"

#include "packing.h"

struct dg {
    long batch, rows, columns, ph, pw, heads, width; /* grid of elements, their size, heads and channels per head */
    const float *kv;                     /* (batch, h, w, 2 c): keys, then values */
    const float *key_norm, *value_norm;  /* (2, heads, width): weight, then bias */
    float *volume;                       /* (batch, rows, columns, heads, width, width), heads last for some widths */
    float *sides;                        /* (4, ...) like volume: left, right, top, bottom; or null */
    const float *gvolume, *gsides;
    float *gkv;
    float *gkey_norm, *gvalue_norm;      /* (batch rows, 2, heads, width): to be summed over the first axis */
    const float *q, *operators;          /* (batch, h, w, c); like volume */
    const float *onto;                   /* like q, or null */
    float *out;                          /* (batch, h, w, c) */
    const float *gout;
    float *gq, *goperators;
};

struct steps {
    long width;
    long (*workspace)(const struct dg *); /* floats that a step needs besides */
    void (*integrate)(const struct dg *, long, float *);
    void (*integrate_backward)(const struct dg *, long, float *);
    void (*apply)(const struct dg *, long, float *);
    void (*apply_backward)(const struct dg *, long, float *);
};

#ifdef HAVE_X86_VERSIONS
#define TARGET TARGET_AVX512
#define SET avx512
#define LANES 16
#include "dg_operator_versions.h"
#undef TARGET
#undef SET
#undef LANES

#define TARGET TARGET_AVX2
#define SET avx2
#define LANES 8
#include "dg_operator_versions.h"
#undef TARGET
#undef SET
#undef LANES
#endif

#define TARGET
#define SET plain
#define LANES 4
#include "dg_operator_versions.h"
#undef TARGET
#undef SET
#undef LANES

#define WIDTHS (sizeof STEPS_OF_set_plain / sizeof STEPS_OF_set_plain[0])

static const struct steps *steps_for(long width, int version) {
    const struct steps *sets[] = {
        STEPS_OF_set_plain,
#ifdef HAVE_X86_VERSIONS
        STEPS_OF_set_avx2,
        STEPS_OF_set_avx512,
#endif
    };
    for (size_t i = 0; i < WIDTHS; i++)
        if (sets[version][i].width == width) return &sets[version][i];
    return NULL;
}

/* Is there a version for heads of `width` channels? */
int dgno_dg_has_width(long width) { return steps_for(width, 0) != NULL; }

/* Do operators of this width lie with the heads last, (d, d, heads), or first? */
int dgno_dg_heads_last(long width) { return width % 3 == 0; }


/* Each returns 0, or 1 when there was no memory for a thread's workspace. */
#define RUN_STRIPS(step)                                                                           \
    static void step##_strip(const void *arguments, int version, long strip, float *memory) {      \
        const struct dg *s = arguments;                                                            \
        steps_for(s->width, version)->step(s, strip, memory);                                      \
    }                                                                                              \
    int dgno_dg_##step(const struct dg *s, int version, int threads) {                             \
        const long floats = steps_for(s->width, version)->workspace(s);                            \
        return run_tasks(step##_strip, s, version, s->batch * s->rows, floats, threads);           \
    }

RUN_STRIPS(integrate)
RUN_STRIPS(integrate_backward)
RUN_STRIPS(apply)
RUN_STRIPS(apply_backward)

/* The whole layer, in two passes over the map: z to kernel integrals, and, when the fluxes have been added to them, z
 * and the operators to mlp(q K + z) + z. */

#define LOG2_E 1.44269504088896341f

struct dg_layer {
    long batch, rows, columns, side, heads, width; /* grid of elements, their side, heads and channels per head */
    long tile;                                     /* elements of a task, neighbours in a row of the grid */
    long parts;                                    /* of the matrices, see products.h */
    const float *z;                                /* (batch, h, w, c) */
    const float *key_norm, *value_norm;            /* as in struct dg; likewise volume, sides and operators */
    const float *project_kv, *kv_bias;             /* packed and padded, like all matrices and their biases */
    const float *project_q, *q_bias, *mlp_in, *mlp_in_bias, *mlp_out, *mlp_out_bias;
    float *volume, *sides;
    const float *operators;
    float *out;                                    /* like z */
};

#define BODY "dg_layer_body.h"
#include "each_version.h"

static const struct layer_steps {
    long (*workspace)(const struct dg_layer *, const struct steps *);
    void (*integrate)(const struct dg_layer *, const struct steps *, long, long, long, float *);
    void (*apply)(const struct dg_layer *, const struct steps *, long, long, long, float *);
} LAYERS[] = {
    [PLAIN] = {layer_workspace_plain, layer_integrate_plain, layer_apply_plain},
#ifdef HAVE_X86_VERSIONS
    [AVX2] = {layer_workspace_avx2, layer_integrate_avx2, layer_apply_avx2},
    [AVX512] = {layer_workspace_avx512, layer_integrate_avx512, layer_apply_avx512},
#endif
};

/* Each returns 0, or 1 when there was no memory for a thread's workspace. */
#define RUN_TILES(step)                                                                            \
    static void step##_tile(const void *arguments, int version, long i, float *memory) {           \
        const struct dg_layer *s = arguments;                                                      \
        const long tiles = (s->columns + s->tile - 1) / s->tile;                                   \
        const long column = i % tiles * s->tile, left = s->columns - column;                       \
        LAYERS[version].step(s, steps_for(s->width, version), i / tiles, column,                   \
            left < s->tile ? left : s->tile, memory);                                              \
    }                                                                                              \
    int dgno_dg_layer_##step(const struct dg_layer *s, int version, int threads) {                 \
        const long tiles = (s->columns + s->tile - 1) / s->tile;                                   \
        const long floats = LAYERS[version].workspace(s, steps_for(s->width, version));            \
        return run_tasks(step##_tile, s, version, s->batch * s->rows * tiles, floats, threads);    \
    }

RUN_TILES(integrate)
RUN_TILES(apply)
