/* The gated feed-forward network with its norm and its residual in one pass over the map: the fast twin of
 * feed_forward.py, which says what is computed. Forward only.
 *
 * Maps are channels-last. Tiles of columns and strips of rows are spread over threads (OpenMP); what lies between input
 * and output never leaves the cache. Every pixel is computed alike in every tile, so results depend neither on the
 * number of threads nor on the tiles. */

#include <math.h>

#include "tasks.h"
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
    long (*workspace)(const struct feed_forward *);
    void (*forward)(const struct feed_forward *, long, long, long, long, float *);
} VERSIONS[] = {
    [PLAIN] = {workspace_plain, forward_plain},
#ifdef HAVE_X86_VERSIONS
    [AVX2] = {workspace_avx2, forward_avx2},
    [AVX512] = {workspace_avx512, forward_avx512},
#endif
};

static void forward_tile(const void *arguments, int version, long i, float *memory) {
    const struct feed_forward *s = arguments;
    const struct tile t = tile_at(i, s->height, s->width, s->strip, s->tile);
    VERSIONS[version].forward(s, t.image, t.top, t.bottom, t.left, memory);
}

/* Returns 0, or 1 when there was no memory for a thread's workspace. */
int dgno_feed_forward_forward(const struct feed_forward *s, int version, int threads) {
    const long tiles = tiles_of(s->batch, s->height, s->width, s->strip, s->tile);
    return run_tasks(forward_tile, s, version, tiles, VERSIONS[version].workspace(s), threads);
}
