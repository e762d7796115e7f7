/* Dense 3x3 convolutions with a border of zeros, and their gradients: the fast twin of convolution.py.
 *
 * By Winograd's F(2x2, 3x3) (Lavin and Gray 2016, arXiv:1509.09308): 2x2 results of a 4x4 window d are
 *
 *     A^T [(G g G^T) * (B^T d B)] A
 *
 * with * point by point: 16 multiplications where the definition has 36. Over channels each point is a product of
 * matrices, the same for all windows. A pixel enters those results that it enters by the definition, and no others.
 * Where outputs or inputs are few, and where factors are rounded to bfloat16, the definition itself is computed. Blocks
 * of windows, or rows, are spread over threads (OpenMP); sums over chunks of blocks are left to the caller, so results
 * do not depend on the number of threads. */

#include "tasks.h"
#include "versions.h"

#include "packing.h"

#define LOG2_E 1.44269504088896341f
#define POINTS 16          /* of a window */
#define COLUMNS 16         /* of windows in a block, at most */
#define BLOCK 48           /* windows of a block: they are in the cache together */
#define TILED_BLOCK 144    /* in tiles (AMX), where products are faster than the matrices come from the cache */
#define GRADIENT_BLOCK 192 /* more, as the sums at the weights are read and written for every block */

/* Two maps whose channels are taken for those of one; `inputs` counts both. */
struct convolution {
    long batch, height, width, inputs, of_second, outputs, parts;
    long unshuffled;     /* do 2x2 pixels become channels? not where outputs or inputs are few */
    const float *x;      /* (batch, height, width, inputs - of_second) */
    const float *second; /* (batch, height, width, of_second), or null */
    const float *packed; /* for each point, or of one part each tap, as in products.h; few outputs: (outputs, 3, 3,
                          * inputs), inputs: (vectors, inputs, 3, 3, lanes) */
    const float *bias;   /* (vectors x lanes), or null */
    float *out;          /* (batch, height, width, outputs); unshuffled (batch, height / 2, width / 2, outputs, 2, 2) */
};

struct kernels {
    long inputs, outputs, input_stride, output_stride, row_stride, column_stride; /* floats between neighbours */
    long flipped, parts; /* rows and columns backwards? as above */
    const float *weight; /* (outputs, inputs, 3, 3) */
    float *packed;       /* G g G^T, see above */
};

struct convolution_gradient {
    long batch, height, width, inputs, of_second, outputs, chunk; /* blocks of a chunk */
    const float *x, *second;                                      /* as above */
    const float *gout;                                            /* (batch, height, width, outputs) */
    float *out;                                                   /* (chunks, points, inputs, vectors x lanes) */
};

/* Windows, as many rows and columns of them; rows are counted on from one image to the next. */
struct block {
    long top, left, rows, columns;
};

static inline long windows_of(long parts) { return parts ? TILED_BLOCK : BLOCK; }

static inline long columns_of(long width) { return width + 1 < 2 * COLUMNS ? (width + 1) / 2 : COLUMNS; }

/* Blocks of up to so many windows that cover maps of height x width pixels. */
static inline long blocks_of(long batch, long height, long width, long windows) {
    const long columns = columns_of(width);
    return tiles_of(1, batch * ((height + 1) / 2), (width + 1) / 2, windows / columns, columns);
}

static inline struct block block_at(long i, long batch, long height, long width, long windows) {
    const long columns = columns_of(width), across = (width + 1) / 2;
    const struct tile t = tile_at(i, batch * ((height + 1) / 2), across, windows / columns, columns);
    return (struct block){t.top, t.left, t.bottom - t.top, across - t.left < columns ? across - t.left : columns};
}

#define BODY "convolution_body.h"
#include "each_version.h"

static const struct {
    long (*workspace)(long, long, long);
    void (*forward)(const struct convolution *, long, float *);
    void (*narrow)(const struct convolution *, long);
    long (*image_workspace)(const struct convolution *);
    void (*image)(const struct convolution *, long, float *);
    void (*pack)(const struct kernels *, long);
    void (*gradient)(const struct convolution_gradient *, long, float *);
    long (*tiled_tasks)(const struct convolution *); /* and the two next: null without tiles */
    long (*tiled_workspace)(const struct convolution *);
    void (*tiled)(const struct convolution *, long, float *);
} VERSIONS[] = {
    [PLAIN] = {workspace_plain, forward_plain, narrow_row_plain, image_workspace_plain, image_row_plain,
        pack_plain, gradient_plain, NULL, NULL, NULL},
#ifdef HAVE_X86_VERSIONS
    [AVX2] = {workspace_avx2, forward_avx2, narrow_row_avx2, image_workspace_avx2, image_row_avx2,
        pack_avx2, gradient_avx2, NULL, NULL, NULL},
    [AVX512] = {workspace_avx512, forward_avx512, narrow_row_avx512, image_workspace_avx512, image_row_avx512,
        pack_avx512, gradient_avx512,
#ifdef HAVE_TILES
        tiled_tasks_avx512, tiled_workspace_avx512, tiled_avx512},
#else
        NULL, NULL, NULL},
#endif
#endif
};

static void forward_block(const void *arguments, int version, long i, float *memory) {
    VERSIONS[version].forward(arguments, i, memory);
}

static void tile(const void *arguments, int version, long i, float *memory) {
    VERSIONS[version].tiled(arguments, i, memory);
}

static void narrow_row(const void *arguments, int version, long i, float *memory) {
    (void)memory;
    VERSIONS[version].narrow(arguments, i);
}

static void image_row(const void *arguments, int version, long i, float *memory) {
    VERSIONS[version].image(arguments, i, memory);
}

static void pack_vector(const void *arguments, int version, long i, float *memory) {
    (void)memory;
    VERSIONS[version].pack(arguments, i);
}

static void gradient_chunk(const void *arguments, int version, long i, float *memory) {
    VERSIONS[version].gradient(arguments, i, memory);
}

/* Each returns 0, or 1 when there was no memory for a thread's workspace. */

/* Of one part, where this version has tiles. */
int dgno_convolution_tiled(const struct convolution *s, int version, int threads) {
    return run_tasks(tile, s, version, VERSIONS[version].tiled_tasks(s), VERSIONS[version].tiled_workspace(s), threads);
}

int dgno_convolution_forward(const struct convolution *s, int version, int threads) {
    const long windows = windows_of(s->parts);
    return run_tasks(forward_block, s, version, blocks_of(s->batch, s->height, s->width, windows),
        VERSIONS[version].workspace(s->inputs, s->outputs, windows), threads);
}

int dgno_convolution_narrow(const struct convolution *s, int version, int threads) {
    return run_tasks(narrow_row, s, version, s->batch * s->height, 1, threads);
}

int dgno_convolution_image(const struct convolution *s, int version, int threads) {
    return run_tasks(image_row, s, version, s->batch * s->height, VERSIONS[version].image_workspace(s), threads);
}

int dgno_convolution_pack(const struct kernels *s, int version, int threads) {
    const long lanes = VERSION_LANES[version];
    return run_tasks(pack_vector, s, version, (s->outputs + lanes - 1) / lanes, 1, threads);
}

int dgno_convolution_gradient(const struct convolution_gradient *s, int version, int threads) {
    const long blocks = blocks_of(s->batch, s->height, s->width, GRADIENT_BLOCK);
    return run_tasks(gradient_chunk, s, version, (blocks + s->chunk - 1) / s->chunk,
        VERSIONS[version].workspace(s->inputs, s->outputs, GRADIENT_BLOCK), threads);
}

/* Blocks over which the gradient at the weights is summed, for maps of this size. */
long dgno_convolution_blocks(long batch, long height, long width) {
    return blocks_of(batch, height, width, GRADIENT_BLOCK);
}
