/* The attentive state-space module with its norm and its residual in two passes over the map: the fast twin of
 * attentive_scan.py, which says what is computed. In training the lift has noise and a gradient of its own
 * (attentive_lift.py); the core's gradient is here as well (attentive_core.py).
 *
 * The lift finds every pixel's class and gated features; tiles of columns and strips of rows are spread over threads
 * (OpenMP). The core takes the pixels of a sequence in the order of their classes, a chunk of tokens at a time: scan
 * parameters, scan, norm and projection of a chunk never leave the cache. Threads share the sequences, or where there
 * are fewer of them the tokens and the channels of every chunk. Every pixel is computed alike wherever it stands, so
 * results depend neither on the number of threads nor on the tiles. */

#include <math.h>

#include "tasks.h"
#include "versions.h"

#include "packing.h"

#define LOG2_E 1.44269504088896341f
#define CLASSES 64
#define STATES 8
#define TOKENS 96 /* in a thread's chunk; a multiple of the rows that products are rounded to */
#define SEGMENT 32 /* tokens between two states that the gradient starts from; a divisor of TOKENS */
#define PARTS 8   /* of a thread, each so long, between two waits of the threads for each other */

struct lift {
    long batch, height, width, channels, routing;
    long tile, strip;                              /* columns and rows of a task */
    long parts;                                    /* of project_in, see products.h */
    const float *x;                                /* (batch, height, width, channels) */
    const float *norm_weight, *norm_bias;          /* (channels) */
    const float *route_hidden, *route_hidden_bias; /* packed and padded, like all matrices and their biases */
    const float *route_logits, *route_logits_bias;
    const float *project_in, *project_in_bias;
    const float *position, *position_bias; /* (9, 2 channels), raster order; (2 channels) */
    float *y;                              /* (batch, height, width, 2 channels), bfloat16 if of one part */
    unsigned char *classes;                /* (batch, height, width) */
    float *uniform; /* (batch, height, width, CLASSES), becomes the soft-max with noise; or null: without noise */
};

struct core {
    long batch, height, width, channels, rank;
    long block_height, block_width, prompt_sorted; /* a sequence is a block of the plane */
    long parts;                                    /* of project_out */
    long prompts_of_pixels;                        /* are the prompts those of all pixels, or of all classes? */
    const float *x, *y;                            /* as in the lift; y is bfloat16 if of one part */
    const unsigned char *classes;
    const float *prompts; /* (CLASSES or pixels, STATES) */
    const float *x_proj, *dt_proj, *dt_bias;
    const float *A, *D;                   /* (STATES, padded 2 channels), (padded 2 channels) */
    const float *norm_weight, *norm_bias; /* (2 channels) */
    const float *project_out, *project_out_bias;
    int *order; /* (pixels): place in a sequence -> pixel */
    float *out; /* like x */
    /* kept for the gradient, or null: */
    float *starts;     /* (sequences, segments, STATES, padded 2 channels): states before every SEGMENT-th token */
    float *normal;     /* (pixels, padded 2 channels): the scan's results normalised, in its order */
    float *scales;     /* (pixels): the factors by which they were */
    float *parameters; /* (pixels and rows to round them, rank + 2 STATES): dt, B, C in the scan's order */
};

struct core_gradient {
    /* As for the forward pass, which has filled order and what it keeps. Not looked at: x, classes, prompts, x_proj,
     * the norm, project_out, out. */
    struct core core;
    long group;                   /* sequences of a task */
    const float *g;               /* gradient at out */
    const float *from_result;     /* packed, like the next ones: project_out^T, its mean over the results taken off */
    const float *from_parameters; /* x_proj^T from B, C, dt */
    const float *from_delta;      /* dt_proj^T */
    float *gy, *gprompts;         /* like y, like prompts */
    float *sums;                  /* (tasks, sum_rows, padded 2 channels): to be summed over the tasks */
};

/* Rows of the sums; those of the matrices are project_out (channels), x_proj as (B, C, dt), dt_proj^T. */
enum { SUM_A, SUM_D = STATES, SUM_DT_BIAS, SUM_RESULT_BIAS, SUM_MATRICES };

struct chunk { /* rows of whole vectors */
    float *u, *delta, *parameters, *result;
};

#define BODY "attentive_scan_body.h"
#include "each_version.h"

#define STEPS(set)                                                                                              \
    {lift_workspace_##set, lift_##set, chunk_size_##set, chunk_at_##set, chunk_from_##set, sort_##set,          \
        prepare_##set, scan_##set, finish_##set}
static const struct version {
    long (*lift_workspace)(const struct lift *);
    void (*lift)(const struct lift *, long, long, long, long, float *);
    long (*chunk_size)(const struct core *, long);
    struct chunk (*chunk_at)(const struct core *, long, float *);
    struct chunk (*chunk_from)(const struct core *, const struct chunk *, long);
    void (*sort)(const struct core *, long);
    void (*prepare)(const struct core *, long, long, long, const struct chunk *);
    void (*scan)(const struct core *, long, long, long, long, const struct chunk *, float *);
    void (*finish)(const struct core *, long, long, long, const struct chunk *);
} VERSIONS[] = {
    [PLAIN] = STEPS(plain),
#ifdef HAVE_X86_VERSIONS
    [AVX2] = STEPS(avx2),
    [AVX512] = STEPS(avx512),
#endif
};

static void lift_tile(const void *arguments, int version, long i, float *memory) {
    const struct lift *s = arguments;
    const struct tile t = tile_at(i, s->height, s->width, s->strip, s->tile);
    VERSIONS[version].lift(s, t.image, t.top, t.bottom, t.left, memory);
}

/* Returns 0, or 1 when there was no memory for a thread's workspace. */
int dgno_attentive_lift(const struct lift *s, int version, int threads) {
    const long tiles = tiles_of(s->batch, s->height, s->width, s->strip, s->tile);
    return run_tasks(lift_tile, s, version, tiles, VERSIONS[version].lift_workspace(s), threads);
}

static long least(long a, long b) { return a < b ? a : b; }

static long sequences_of(const struct core *s) {
    return s->batch * (s->height / s->block_height) * (s->width / s->block_width);
}

/* A state's floats for a channel of every vector. */
static long padded_hidden(const struct core *s, int version) {
    const long lanes = VERSION_LANES[version];
    return (2 * s->channels + lanes - 1) / lanes * lanes;
}

/* A whole sequence by one thread. */
static void core_sequence(const void *arguments, int version, long sequence, float *memory) {
    const struct core *s = arguments;
    const struct version *v = &VERSIONS[version];
    const long length = s->block_height * s->block_width, hidden = padded_hidden(s, version);
    const struct chunk chunk = v->chunk_at(s, TOKENS, memory);
    float *state = memory + v->chunk_size(s, TOKENS);
    memset(state, 0, (size_t)(STATES * hidden) * sizeof(float));
    v->sort(s, sequence);
    for (long first = 0; first < length; first += TOKENS) {
        const long count = least(TOKENS, length - first);
        v->prepare(s, sequence, first, count, &chunk);
        for (long c = 0; c < hidden; c += VERSION_LANES[version])
            v->scan(s, sequence, first, count, c, &chunk, state);
        v->finish(s, sequence, first, count, &chunk);
    }
}

static int core_by_sequence(const struct core *s, int version, long sequences, int threads) {
    const long floats = VERSIONS[version].chunk_size(s, TOKENS) + STATES * padded_hidden(s, version);
    return run_tasks(core_sequence, s, version, sequences, floats, threads);
}

/* One sequence after the other, its tokens and channels spread over the threads. */
static int core_by_token(const struct core *s, int version, long sequences, int threads) {
    const struct version *v = &VERSIONS[version];
    const long length = s->block_height * s->block_width, hidden = padded_hidden(s, version);
    const long parts = PARTS * (long)threads, size = v->chunk_size(s, TOKENS) * parts, tokens = TOKENS * parts;
    float *memory = workspace(size + STATES * hidden);
    if (!memory) return 1;
    const struct chunk all = v->chunk_at(s, tokens, memory);
    float *state = memory + size;
#pragma omp parallel num_threads(threads)
    for (long sequence = 0; sequence < sequences; sequence++) {
#pragma omp single
        {
            memset(state, 0, (size_t)(STATES * hidden) * sizeof(float));
            v->sort(s, sequence);
        }
        for (long first = 0; first < length; first += tokens) {
            const long count = least(tokens, length - first);
#pragma omp for schedule(static)
            for (long t = 0; t < count; t += TOKENS) {
                const struct chunk part = v->chunk_from(s, &all, t);
                v->prepare(s, sequence, first + t, least(TOKENS, count - t), &part);
            }
#pragma omp for schedule(static)
            for (long c = 0; c < hidden; c += VERSION_LANES[version])
                v->scan(s, sequence, first, count, c, &all, state);
#pragma omp for schedule(static)
            for (long t = 0; t < count; t += TOKENS) {
                const struct chunk part = v->chunk_from(s, &all, t);
                v->finish(s, sequence, first + t, least(TOKENS, count - t), &part);
                STREAMED;
            }
        }
    }
    free(memory);
    return 0;
}

/* Returns 0, or 1 when there was no memory for a thread's workspace. */
int dgno_attentive_core(const struct core *s, int version, int threads) {
    const long sequences = sequences_of(s);
    return (sequences < threads ? core_by_token : core_by_sequence)(s, version, sequences, threads);
}

static const struct {
    long (*sum_rows)(const struct core *);
    long (*workspace)(const struct core *);
    void (*sequence)(const struct core_gradient *, long, float *, float *);
} GRADIENTS[] = {
    [PLAIN] = {sum_rows_plain, gradient_workspace_plain, sequence_gradient_plain},
#ifdef HAVE_X86_VERSIONS
    [AVX2] = {sum_rows_avx2, gradient_workspace_avx2, sequence_gradient_avx2},
    [AVX512] = {sum_rows_avx512, gradient_workspace_avx512, sequence_gradient_avx512},
#endif
};

static void gradient_of_group(const void *arguments, int version, long i, float *memory) {
    const struct core_gradient *s = arguments;
    const long size = GRADIENTS[version].sum_rows(&s->core) * padded_hidden(&s->core, version);
    const long first = i * s->group, end = least(first + s->group, sequences_of(&s->core));
    memset(s->sums + i * size, 0, (size_t)size * sizeof(float));
    for (long sequence = first; sequence < end; sequence++)
        GRADIENTS[version].sequence(s, sequence, memory, s->sums + i * size);
}

int dgno_attentive_core_segment(void) { return SEGMENT; }

/* Returns 0, or 1 when there was no memory for a thread's workspace. */
int dgno_attentive_core_gradient(const struct core_gradient *s, int version, int threads) {
    const long tasks = (sequences_of(&s->core) + s->group - 1) / s->group;
    return run_tasks(gradient_of_group, s, version, tasks, GRADIENTS[version].workspace(&s->core), threads);
}
