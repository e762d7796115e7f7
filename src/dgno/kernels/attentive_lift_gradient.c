/* The gradient of the first half of the attentive scan, back in one pass over the map; attentive_lift.py says of what.
 * Forward it is the lift of attentive_scan.c. Nothing but the map, the weights, the classes and the soft-max is kept:
 * everything else is computed again, row by row inside the cache.
 *
 * Tiles of columns and strips of rows are dealt to tasks, each with sums of its own for the gradients at the weights,
 * and tasks to threads (OpenMP): results do not depend on the number of threads. */

#include <math.h>

#include "tasks.h"
#include "versions.h"

#include "packing.h"

#define LOG2_E 1.44269504088896341f
#define CLASSES 64
#define STATES 8
#define HELD 48 /* pixels, at least: linear maps of fewer would read and write the weights too often */

struct lift_gradient {
    long batch, height, width, channels, routing;
    long tile, strip, tasks;              /* columns and rows of a tile */
    long apart;                           /* floats from a task's sums to the next one's */
    const float *x;                       /* (batch, height, width, channels) */
    const float *norm_weight, *norm_bias; /* (channels) */
    const float *forth, *forth_bias;      /* project_in and the routing's first map, one above the other and packed */
    const float *back;                    /* their transposed */
    const float *logits_back;             /* the routing's second map, transposed */
    const float *prompts;                 /* (CLASSES, STATES), packed */
    const float *position, *position_bias; /* (9, padded 2 channels), raster order; (padded 2 channels) */
    const unsigned char *classes;         /* (batch, height, width) */
    const float *soft;                    /* (batch, height, width, CLASSES), or null: the routing has no gradient */
    const float *gy, *grows;              /* gradients: (batch, height, width, 2 channels), (..., STATES) */
    float *gx;                            /* like x */
    /* and sums, of the first task, added to what is there: */
    float *gnorm_weight, *gnorm_bias; /* (channels) */
    float *gweight, *gbias;           /* as `forth`, not packed: (channels, outputs), (outputs) */
    float *glogits, *glogits_bias;    /* (routing, CLASSES), (CLASSES) */
    float *gprompts;                  /* (CLASSES, STATES) */
    float *gposition, *gposition_bias;
};

#define BODY "attentive_lift_gradient_body.h"
#include "each_version.h"

static const struct version {
    long (*workspace)(const struct lift_gradient *);
    void (*gradient)(const struct lift_gradient *, const struct tile *, long, float *);
} VERSIONS[] = {
    [PLAIN] = {gradient_workspace_plain, gradient_plain},
#ifdef HAVE_X86_VERSIONS
    [AVX2] = {gradient_workspace_avx2, gradient_avx2},
    [AVX512] = {gradient_workspace_avx512, gradient_avx512},
#endif
};

/* Neighbouring tiles, as many for every task but for one tile. */
static void gradient_task(const void *arguments, int version, long task, float *memory) {
    const struct lift_gradient *s = arguments;
    const long tiles = tiles_of(s->batch, s->height, s->width, s->strip, s->tile);
    for (long i = task * tiles / s->tasks; i < (task + 1) * tiles / s->tasks; i++) {
        const struct tile t = tile_at(i, s->height, s->width, s->strip, s->tile);
        VERSIONS[version].gradient(s, &t, task, memory);
    }
}

/* Returns 0, or 1 when there was no memory for a thread's workspace. */
int dgno_attentive_lift_gradient(const struct lift_gradient *s, int version, int threads) {
    return run_tasks(gradient_task, s, version, s->tasks, VERSIONS[version].workspace(s), threads);
}
