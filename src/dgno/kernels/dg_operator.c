/* The DG operator's kernel integrals and their application in plain C, forward and backward: the fast twin of
 * dg_operator.py, which says what each step computes.
 *
 * Maps are channels-last: the channels of a pixel side by side. A row of the grid of elements is one task; tasks are
 * spread over threads (OpenMP) and write to places of their own, so results do not depend on the number of threads. */

#include <math.h>
#include <string.h>

#include "versions.h"

#define EPSILON 1e-5f

struct dg {
    long batch, rows, columns, ph, pw, heads, width; /* grid of elements, their size, heads and channels per head */
    const float *kv;                     /* (batch, h, w, 2 c): keys, then values */
    const float *key_norm, *value_norm;  /* (2, heads, width): weight, then bias */
    float *volume;                       /* (batch, rows, columns, heads, width, width) */
    float *sides;                        /* (4, ...) like volume: left, right, top, bottom; or null */
    const float *gvolume, *gsides;
    float *gkv;
    float *gkey_norm, *gvalue_norm;      /* (batch rows, 2, heads, width): to be summed over the first axis */
    const float *q, *operators;          /* (batch, h, w, c); like volume */
    float *out;                          /* (batch, h, w, c) */
    const float *gout;
    float *gq, *goperators;
};

struct steps {
    long width;
    void (*integrate)(const struct dg *, long);
    void (*integrate_backward)(const struct dg *, long);
    void (*apply)(const struct dg *, long);
    void (*apply_backward)(const struct dg *, long);
};

#ifdef HAVE_X86_VERSIONS
#define TARGET TARGET_AVX512
#define SET avx512
#include "dg_operator_versions.h"
#undef TARGET
#undef SET

#define TARGET TARGET_AVX2
#define SET avx2
#include "dg_operator_versions.h"
#undef TARGET
#undef SET
#endif

#define TARGET
#define SET plain
#include "dg_operator_versions.h"

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

int dgno_dg_best_version(void) { return best_version(); }
const char *dgno_dg_version_name(int version) { return version_name(version); }

#define RUN_STRIPS(step)                                                                   \
    void dgno_dg_##step(const struct dg *s, int version, int threads) {                    \
        const struct steps *steps = steps_for(s->width, version);                          \
        (void)threads; /* unused without OpenMP */                                         \
        _Pragma("omp parallel for schedule(static) num_threads(threads)")                  \
        for (long strip = 0; strip < s->batch * s->rows; strip++) steps->step(s, strip);   \
    }

RUN_STRIPS(integrate)
RUN_STRIPS(integrate_backward)
RUN_STRIPS(apply)
RUN_STRIPS(apply_backward)
