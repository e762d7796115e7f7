/* One instruction set's version of the dense 3x3 convolution and of its gradients: included by convolution.c once per
 * set, which defines NAME, TARGET and LANES. */

#define VF NAME(vector)
#define VI NAME(integers)
#include "vectors.h"
#include "products.h"
#include "outer_products.h"

/* Floats from one point of a block to the next: a vector more than its windows have, so that points fall on different
 * sets of the cache. */
static inline long NAME(stride)(long windows, long channels) { return windows * PADDED(channels) + LANES; }

static long NAME(workspace)(long inputs, long outputs, long windows) {
    return POINTS *
           (NAME(stride)(windows, inputs) + NAME(stride)(windows, outputs) + PADDED(inputs) + PADDED(outputs));
}

/* A square of pixels of a map, with zeros where it reaches beyond. */
static TARGET void NAME(cut_out)(
    const float *map, long height, long width, long channels, long top, long left, long side, float *out) {
    memset(out, 0, (size_t)(side * side * channels) * sizeof(float));
    const long first = left < 0 ? 0 : left, last = left + side < width ? left + side : width;
    for (long y = top < 0 ? 0 : top; y < top + side && y < height; y++)
        memcpy(out + ((y - top) * side + first - left) * channels, map + (y * width + first) * channels,
            (size_t)((last - first) * channels) * sizeof(float));
}

/* B^T d B of up to a vector of channels; rows of the window are so far apart, its pixels `channels`. */
static inline __attribute__((always_inline)) TARGET void NAME(to_points)(
    const float *window, long row, long channels, float *out, long stride, const int lanes) {
    VF d[4][4], t[4][4];
    for (int i = 0; i < 4; i++)
        for (int j = 0; j < 4; j++) d[i][j] = NAME(load)(window + i * row + j * channels, lanes);
    for (int j = 0; j < 4; j++) {
        t[0][j] = d[0][j] - d[2][j];
        t[1][j] = d[1][j] + d[2][j];
        t[2][j] = d[2][j] - d[1][j];
        t[3][j] = d[1][j] - d[3][j];
    }
    for (int i = 0; i < 4; i++) {
        NAME(store)(out + (4 * i + 0) * stride, t[i][0] - t[i][2], LANES);
        NAME(store)(out + (4 * i + 1) * stride, t[i][1] + t[i][2], LANES);
        NAME(store)(out + (4 * i + 2) * stride, t[i][2] - t[i][1], LANES);
        NAME(store)(out + (4 * i + 3) * stride, t[i][1] - t[i][3], LANES);
    }
}

/* The points of the window from (top, left) on: (points, channels), `stride` apart. */
static inline TARGET void NAME(window_to_points)(const float *map, long height, long width, long channels, long top,
    long left, float *edge, float *out, long stride) {
    const int is_inside = top >= 0 && left >= 0 && top + 4 <= height && left + 4 <= width;
    const float *from = is_inside ? map + (top * width + left) * channels : edge;
    const long row = (is_inside ? width : 4) * channels;
    long c = 0;
    if (!is_inside) NAME(cut_out)(map, height, width, channels, top, left, 4, edge);
    for (; c + LANES <= channels; c += LANES) NAME(to_points)(from + c, row, channels, out + c, stride, LANES);
    if (c < channels) NAME(to_points)(from + c, row, channels, out + c, stride, (int)(channels - c));
}

/* Those of the windows of a block: (points, windows, inputs), the channels of the second map behind those of the first.
 * What a last vector leaves behind its channels is written over by what follows. */
static TARGET void NAME(windows_to_points)(const float *x, const float *second, long height, long width, long inputs,
    long of_second, const struct block *block, float *edge, float *out, long stride) {
    const long down = (height + 1) / 2, of_first = inputs - of_second;
    for (long y = block->top; y < block->top + block->rows; y++) {
        const long first = y / down * height * width, top = 2 * (y % down) - 1;
        for (long j = block->left; j < block->left + block->columns; j++, out += PADDED(inputs)) {
            NAME(window_to_points)(x + first * of_first, height, width, of_first, top, 2 * j - 1, edge, out, stride);
            if (of_second)
                NAME(window_to_points)(second + first * of_second, height, width, of_second, top, 2 * j - 1, edge,
                    out + of_first, stride);
        }
    }
}

/* A^T m A + bias of a vector of channels. */
static inline __attribute__((always_inline)) TARGET void NAME(from_points)(
    const float *points, long stride, VF bias, VF pixels[2][2]) {
    VF t[2][4];
    for (int j = 0; j < 4; j++) {
        VF m[4];
        for (int i = 0; i < 4; i++) m[i] = NAME(load)(points + (4 * i + j) * stride, LANES);
        t[0][j] = m[0] + m[1] + m[2];
        t[1][j] = m[1] - m[2] - m[3];
    }
    for (int i = 0; i < 2; i++) {
        pixels[i][0] = t[i][0] + t[i][1] + t[i][2] + bias;
        pixels[i][1] = t[i][1] - t[i][2] - t[i][3] + bias;
    }
}

/* A vector's channels of the 2x2 pixels, side by side. */
#define IN_TURN(l, from) ((l) & 1 ? LANES + (from) + (l) / 2 : (from) + (l) / 2)
static inline __attribute__((always_inline)) TARGET void NAME(unshuffle)(VF pixels[2][2], float *out, long channels) {
    const VF lefts[2] = {SHUFFLE(pixels[0][0], pixels[1][0], IN_TURN, 0),
        SHUFFLE(pixels[0][0], pixels[1][0], IN_TURN, LANES / 2)};
    const VF rights[2] = {SHUFFLE(pixels[0][1], pixels[1][1], IN_TURN, 0),
        SHUFFLE(pixels[0][1], pixels[1][1], IN_TURN, LANES / 2)};
    VF turns[4];
    for (int i = 0; i < 2; i++) {
        turns[2 * i] = SHUFFLE(lefts[i], rights[i], IN_TURN, 0);
        turns[2 * i + 1] = SHUFFLE(lefts[i], rights[i], IN_TURN, LANES / 2);
    }
    if (channels >= LANES)
        for (int i = 0; i < 4; i++) NAME(store)(out + i * LANES, turns[i], LANES);
    else
        memcpy(out, turns, (size_t)(4 * channels) * sizeof(float));
}

/* Up to a vector's channels of those of the 2x2 pixels that lie inside, to where they belong. */
static inline __attribute__((always_inline)) TARGET void NAME(put)(
    VF pixels[2][2], float *out, long row, long channels, long rows, long columns, const int lanes) {
    for (int i = 0; i < rows; i++) {
        NAME(store)(out + i * row, pixels[i][0], lanes);
        if (columns > 1) NAME(store)(out + i * row + channels, pixels[i][1], lanes);
    }
}

/* A block of the result. */
static TARGET void NAME(forward)(const struct convolution *s, long i, float *memory) {
    const long windows = windows_of(s->parts);
    const struct block block = block_at(i, s->batch, s->height, s->width, windows);
    const long c = s->outputs, vectors = PADDED(c) / LANES, row = s->width * c, down = (s->height + 1) / 2,
               size = matrix_floats(s->inputs, vectors, LANES, s->parts),
               stride = NAME(stride)(windows, s->inputs), out_stride = NAME(stride)(windows, c);
    float *points = memory, *results = points + POINTS * stride, *edge = results + POINTS * out_stride;
    NAME(windows_to_points)(
        s->x, s->second, s->height, s->width, s->inputs, s->of_second, &block, edge, points, stride);
    for (long p = 0; p < POINTS; p++) {
        const struct matrix m = {s->inputs, vectors, s->packed + p * size, NULL, s->parts};
        NAME(product)(&m, block.rows * block.columns, points + p * stride, PADDED(s->inputs), results + p * out_stride,
            PADDED(c));
    }
    for (long y = block.top; y < block.top + block.rows; y++)
        for (long x = block.left; x < block.left + block.columns; x++, results += PADDED(c)) {
            const long top = 2 * (y % down), rows = s->height - top < 2 ? 1 : 2, columns = s->width - 2 * x;
            float *out = s->unshuffled ? s->out + (y * (s->width / 2) + x) * 4 * c
                                       : s->out + ((y / down * s->height + top) * s->width + 2 * x) * c;
            for (long v = 0; v < vectors; v++) {
                const VF bias = s->bias ? NAME(load)(s->bias + v * LANES, LANES) : (VF){0};
                const long left = c - v * LANES;
                VF pixels[2][2];
                NAME(from_points)(results + v * LANES, out_stride, bias, pixels);
                if (s->unshuffled)
                    NAME(unshuffle)(pixels, out + 4 * v * LANES, left);
                else if (left >= LANES)
                    NAME(put)(pixels, out + v * LANES, row, c, rows, columns, LANES);
                else
                    NAME(put)(pixels, out + v * LANES, row, c, rows, columns, (int)left);
            }
        }
}

/* G g G^T of the kernels of a vector of outputs. */
static TARGET void NAME(pack)(const struct kernels *s, long vector) {
    const long vectors = PADDED(s->outputs) / LANES, left = s->outputs - vector * LANES,
               outputs = left < LANES ? left : LANES;
    const float *weight = s->weight + vector * LANES * s->output_stride;
    for (long k = 0; k < s->inputs; k++) {
        VF g[3][3], t[4][3];
        for (int i = 0; i < 3; i++)
            for (int j = 0; j < 3; j++) {
                const long tap = s->flipped ? (2 - i) * s->row_stride + (2 - j) * s->column_stride
                                            : i * s->row_stride + j * s->column_stride;
                float of_outputs[LANES] = {0};
                for (long o = 0; o < outputs; o++)
                    of_outputs[o] = weight[o * s->output_stride + k * s->input_stride + tap];
                g[i][j] = NAME(load)(of_outputs, LANES);
            }
        for (int j = 0; j < 3; j++) {
            t[0][j] = g[0][j];
            t[1][j] = (g[0][j] + g[2][j] + g[1][j]) * 0.5f;
            t[2][j] = (g[0][j] + g[2][j] - g[1][j]) * 0.5f;
            t[3][j] = g[2][j];
        }
        for (int i = 0; i < 4; i++) {
            const VF u[4] = {t[i][0], (t[i][0] + t[i][2] + t[i][1]) * 0.5f, (t[i][0] + t[i][2] - t[i][1]) * 0.5f,
                t[i][2]};
            for (int j = 0; j < 4; j++)
#if defined(HAVE_TILES) && LANES == 16
                if (s->parts)
                    NAME(pack_parts)((unsigned short *)s->packed, s->inputs, vectors, 4 * i + j, vector, k, u[j]);
                else
#endif
                    NAME(store)(s->packed + (((4 * i + j) * vectors + vector) * s->inputs + k) * LANES, u[j], LANES);
        }
    }
}

/* A y A^T of up to a vector of channels of 2x2 pixels: the way back from results to points. */
static inline __attribute__((always_inline)) TARGET void NAME(spread_to_points)(
    const float *pixels, long row, long channels, float *out, long stride, const int lanes) {
    VF t[4][2];
    for (int j = 0; j < 2; j++) {
        const VF upper = NAME(load)(pixels + j * channels, lanes);
        const VF lower = NAME(load)(pixels + row + j * channels, lanes);
        t[0][j] = upper;
        t[1][j] = upper + lower;
        t[2][j] = upper - lower;
        t[3][j] = -lower;
    }
    for (int i = 0; i < 4; i++) {
        NAME(store)(out + (4 * i + 0) * stride, t[i][0], LANES);
        NAME(store)(out + (4 * i + 1) * stride, t[i][0] + t[i][1], LANES);
        NAME(store)(out + (4 * i + 2) * stride, t[i][0] - t[i][1], LANES);
        NAME(store)(out + (4 * i + 3) * stride, -t[i][1], LANES);
    }
}

static TARGET void NAME(results_to_points)(const float *gout, long height, long width, long channels,
    const struct block *block, float *edge, float *out, long stride) {
    const long down = (height + 1) / 2;
    for (long y = block->top; y < block->top + block->rows; y++) {
        const float *map = gout + y / down * height * width * channels;
        for (long j = 0; j < block->columns; j++, out += PADDED(channels)) {
            const long top = 2 * (y % down), left = 2 * (block->left + j);
            const int is_inside = top + 2 <= height && left + 2 <= width;
            const float *from = is_inside ? map + (top * width + left) * channels : edge;
            const long row = (is_inside ? width : 2) * channels;
            long c = 0;
            if (!is_inside) NAME(cut_out)(map, height, width, channels, top, left, 2, edge);
            for (; c + LANES <= channels; c += LANES)
                NAME(spread_to_points)(from + c, row, channels, out + c, stride, LANES);
            if (c < channels) NAME(spread_to_points)(from + c, row, channels, out + c, stride, (int)(channels - c));
        }
    }
}

/* The gradient at G g G^T, summed over the blocks of one chunk. */
static TARGET void NAME(gradient)(const struct convolution_gradient *s, long chunk, float *memory) {
    const long stride = NAME(stride)(GRADIENT_BLOCK, s->inputs), out_stride = NAME(stride)(GRADIENT_BLOCK, s->outputs);
    const long right = PADDED(s->outputs), blocks = blocks_of(s->batch, s->height, s->width, GRADIENT_BLOCK),
               first = chunk * s->chunk, end = first + s->chunk < blocks ? first + s->chunk : blocks;
    const struct factors factors = {s->inputs, right, PADDED(s->inputs), right};
    float *points = memory, *results = points + POINTS * stride, *edge = results + POINTS * out_stride;
    for (long i = first; i < end; i++) {
        const struct block block = block_at(i, s->batch, s->height, s->width, GRADIENT_BLOCK);
        NAME(windows_to_points)(
            s->x, s->second, s->height, s->width, s->inputs, s->of_second, &block, edge, points, stride);
        NAME(results_to_points)(s->gout, s->height, s->width, s->outputs, &block, edge, results, out_stride);
        for (long p = 0; p < POINTS; p++)
            NAME(outer_products)(&factors, block.rows * block.columns, points + p * stride, results + p * out_stride,
                s->out + (chunk * POINTS + p) * s->inputs * right, i == first);
    }
}

#if defined(HAVE_TILES) && LANES == 16
#include "convolution_tiles.h"
#endif
#undef VF
#undef VI
#include "convolution_narrow.h"
#include "convolution_image.h"
