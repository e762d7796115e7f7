/* The DG operator's kernel integrals and their application in plain C, forward and backward: the fast twin of
 * dg_operator.py, which says what each step computes.
 *
 * Maps are channels-last: the channels of a pixel side by side. A row of the grid of elements is one task; tasks are
 * spread over threads (OpenMP) and write to places of their own, so results do not depend on the number of threads. */

#include <stdlib.h>
#include <string.h>

#include "versions.h"

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

int dgno_dg_best_version(void) { return best_version(); }
const char *dgno_dg_version_name(int version) { return version_name(version); }

/* Each returns 0, or 1 when there was no memory for a thread's workspace. */
#define RUN_STRIPS(step)                                                                              \
    int dgno_dg_##step(const struct dg *s, int version, int threads) {                                \
        const struct steps *steps = steps_for(s->width, version);                                     \
        const size_t size = (size_t)steps->workspace(s) * sizeof(float);                              \
        int failed = 0;                                                                               \
        (void)threads; /* unused without OpenMP */                                                    \
        _Pragma("omp parallel num_threads(threads) reduction(| : failed)")                            \
        {                                                                                             \
            float *memory = aligned_alloc(64, (size + 63) / 64 * 64);                                 \
            failed = !memory;                                                                         \
            _Pragma("omp for schedule(static)")                                                       \
            for (long strip = 0; strip < s->batch * s->rows; strip++)                                 \
                if (memory) steps->step(s, strip, memory);                                            \
            free(memory);                                                                             \
        }                                                                                             \
        return failed;                                                                                \
    }

RUN_STRIPS(integrate)
RUN_STRIPS(integrate_backward)
RUN_STRIPS(apply)
RUN_STRIPS(apply_backward)

/* The whole layer, in two passes over the map: z to kernel integrals, and, when the fluxes have been added to them, z and
 * the operators to mlp(q K + z) + z. */

#define LOG2_E 1.44269504088896341f

struct dg_layer {
    long batch, rows, columns, side, heads, width; /* grid of elements, their side, heads and channels per head */
    long tile;                                     /* elements of a task, neighbours in a row of the grid */
    long half;                                     /* are the matrices bfloat16? */
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
    long lanes;
    long (*workspace)(const struct dg_layer *, const struct steps *);
    void (*integrate)(const struct dg_layer *, const struct steps *, long, long, long, float *);
    void (*apply)(const struct dg_layer *, const struct steps *, long, long, long, float *);
} LAYERS[] = {
    [PLAIN] = {4, layer_workspace_plain, layer_integrate_plain, layer_apply_plain},
#ifdef HAVE_X86_VERSIONS
    [AVX2] = {8, layer_workspace_avx2, layer_integrate_avx2, layer_apply_avx2},
    [AVX512] = {16, layer_workspace_avx512, layer_integrate_avx512, layer_apply_avx512},
#endif
};

/* May the layer's matrices be bfloat16? */
int dgno_dg_has_half(int version) { return version == AVX512 && has_half(); }

/* Channels in a vector: matrices are packed by it. */
long dgno_dg_lanes(int version) { return LAYERS[version].lanes; }

/* Each returns 0, or 1 when there was no memory for a thread's workspace. */
#define RUN_TILES(step)                                                                               \
    int dgno_dg_layer_##step(const struct dg_layer *s, int version, int threads) {                    \
        const struct steps *steps = steps_for(s->width, version);                                     \
        const size_t size = (size_t)LAYERS[version].workspace(s, steps) * sizeof(float);              \
        const long tiles = (s->columns + s->tile - 1) / s->tile;                                      \
        int failed = 0;                                                                               \
        (void)threads;                                                                                \
        _Pragma("omp parallel num_threads(threads) reduction(| : failed)")                            \
        {                                                                                             \
            float *memory = aligned_alloc(64, (size + 63) / 64 * 64);                                 \
            failed = !memory;                                                                         \
            if (memory) memset(memory, 0, size);                                                      \
            _Pragma("omp for schedule(dynamic)")                                                      \
            for (long task = 0; task < s->batch * s->rows * tiles; task++) {                          \
                const long column = task % tiles * s->tile, left = s->columns - column;               \
                if (memory)                                                                           \
                    LAYERS[version].step(s, steps, task / tiles, column, left < s->tile ? left : s->tile, memory); \
            }                                                                                         \
            free(memory);                                                                             \
        }                                                                                             \
        return failed;                                                                                \
    }

RUN_TILES(integrate)
RUN_TILES(apply)
