/* Tasks spread over threads (OpenMP), each thread with a workspace of its own. */

#include <stdlib.h>
#include <string.h>

/* What a thread has stored past the cache is seen by all, see vectors.h. */
#if defined(__x86_64__) && defined(__GNUC__)
#define STREAMED __builtin_ia32_sfence()
#else
#define STREAMED
#endif

/* Zeros, from the beginning of a cache line on, aligned to vectors of every version; null when there is no memory. */
static float *workspace(long floats) {
    const size_t size = ((size_t)floats * sizeof(float) + 63) / 64 * 64;
    float *memory = aligned_alloc(64, size);
    if (memory) memset(memory, 0, size);
    return memory;
}

/* task(s, version, i, workspace) for all i below `tasks`. Returns 0, or 1 when a thread had no memory. */
static int run_tasks(void (*task)(const void *, int, long, float *), const void *s, int version, long tasks,
    long floats, int threads) {
    int failed = 0;
    (void)threads; /* unused without OpenMP */
#pragma omp parallel num_threads(threads) reduction(| : failed)
    {
        float *memory = workspace(floats);
        failed = !memory;
#pragma omp for schedule(dynamic)
        for (long i = 0; i < tasks; i++)
            if (memory) task(s, version, i, memory);
        STREAMED;
        free(memory);
    }
    return failed;
}

struct tile { /* rows [top, bottom) and the columns from `left` on, of an image */
    long image, top, bottom, left;
};

/* Tiles of `columns` by `strip` rows that cover maps of height x width pixels. */
static inline long tiles_of(long batch, long height, long width, long strip, long columns) {
    return batch * ((height + strip - 1) / strip) * ((width + columns - 1) / columns);
}

static inline struct tile tile_at(long i, long height, long width, long strip, long columns) {
    const long across = (width + columns - 1) / columns, down = (height + strip - 1) / strip;
    const long top = i / across % down * strip, bottom = top + strip;
    return (struct tile){i / across / down, top, bottom < height ? bottom : height, i % across * columns};
}
