/* Uniform random numbers, the very ones that torch draws one at a time: the fast twin of torch's `uniform_` for float32
 * on the CPU. The generator is the Mersenne twister MT19937 (Matsumoto and Nishimura 1998, doi:10.1145/272991.272995);
 * a number is the low 24 bits of a draw, times 2^-24. Each generator's 624 words are renewed together, in vectors. */

#include <stdint.h>

#include "tasks.h"
#include "versions.h"

#define WORDS 624
#define AHEAD 397

struct generator { /* the beginning of what torch gives as the state of a generator */
    uint64_t seed;
    int32_t left; /* words before the next renewal, and one */
    int32_t is_seeded;
    uint64_t next; /* the word that is drawn next */
    uint64_t words[WORDS];
};

struct uniform {
    long batch, count, size;  /* numbers of an image; bytes of a generator's state */
    unsigned char *states;    /* (batch, size) */
    float *out;               /* (batch, count) */
};

#define BODY "uniform_body.h"
#include "each_version.h"

static void (*const VERSIONS[])(struct generator *, long, float *) = {
    [PLAIN] = draw_plain,
#ifdef HAVE_X86_VERSIONS
    [AVX2] = draw_avx2,
    [AVX512] = draw_avx512,
#endif
};

/* Tasks have no workspace, but a float that the threads ask for. */
static void draw_image(const void *arguments, int version, long image, float *memory) {
    const struct uniform *s = arguments;
    struct generator generator;
    (void)memory;
    memcpy(&generator, s->states + image * s->size, sizeof generator);
    VERSIONS[version](&generator, s->count, s->out + image * s->count);
    memcpy(s->states + image * s->size, &generator, sizeof generator);
}

/* Every image by its generator, which is left where torch would leave it. */
int dgno_uniform(const struct uniform *s, int version, int threads) {
    return run_tasks(draw_image, s, version, s->batch, 1, threads);
}
