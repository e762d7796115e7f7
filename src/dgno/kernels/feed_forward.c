/* The gated feed-forward network with its norm and its residual in one pass over the map: the fast twin of
 * feed_forward.py, which says what is computed. Forward only.
 *
 * Maps are channels-last. Tiles of columns and strips of rows are spread over threads (OpenMP); what lies between input
 * and output never leaves the cache. Every pixel is computed alike in every tile, so results depend neither on the
 * number of threads nor on the tiles. */

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "versions.h"

#define LOG2_E 1.44269504088896341f

struct feed_forward {
    long batch, height, width, channels, hidden;
    long tile, strip;                     /* columns and rows of a task */
    long half;                            /* are the matrices bfloat16? */
    const float *x;                       /* (batch, height, width, channels) */
    const float *norm_weight, *norm_bias; /* (channels) */
    const float *project_in;              /* packed: two halves, each padded to whole vectors */
    const float *taps;                    /* (9, two padded halves), raster order */
    const float *project_out;             /* packed */
    float *out;                           /* like x */
};

#define BODY "feed_forward_body.h"
#include "each_version.h"

static const struct {
    long lanes;
    long (*workspace)(const struct feed_forward *);
    void (*forward)(const struct feed_forward *, long, long, long, long, float *);
} VERSIONS[] = {
    [PLAIN] = {4, workspace_plain, forward_plain},
#ifdef HAVE_X86_VERSIONS
    [AVX2] = {8, workspace_avx2, forward_avx2},
    [AVX512] = {16, workspace_avx512, forward_avx512},
#endif
};

int dgno_feed_forward_best_version(void) { return best_version(); }
const char *dgno_feed_forward_version_name(int version) { return version_name(version); }

/* May the matrices be bfloat16? */
int dgno_feed_forward_has_half(int version) { return version == AVX512 && has_half(); }

/* Channels in a vector: matrices are packed by it. */
long dgno_feed_forward_lanes(int version) { return VERSIONS[version].lanes; }

/* Returns 0, or 1 when there was no memory for a thread's workspace. */
int dgno_feed_forward(const struct feed_forward *s, int version, int threads) {
    const long tiles = (s->width + s->tile - 1) / s->tile, strips = (s->height + s->strip - 1) / s->strip;
    const size_t size = (size_t)VERSIONS[version].workspace(s) * sizeof(float);
    int failed = 0;
    (void)threads; /* unused without OpenMP */
#pragma omp parallel num_threads(threads) reduction(| : failed)
    {
        float *memory = aligned_alloc(64, (size + 63) / 64 * 64);
        failed = !memory;
        if (memory) memset(memory, 0, size);
#pragma omp for schedule(dynamic)
        for (long task = 0; task < s->batch * strips * tiles; task++) {
            const long top = task / tiles % strips * s->strip,
                       bottom = top + s->strip < s->height ? top + s->strip : s->height;
            if (memory)
                VERSIONS[version].forward(s, task / tiles / strips, top, bottom, task % tiles * s->tile, memory);
        }
        free(memory);
    }
    return failed;
}
