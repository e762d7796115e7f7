/* One head width and instruction set of the DG operator: included by dg_operator.c once for each pair.
 *
 * The includer defines
 *   NAME(x)   the name of x in this version
 *   TARGET    the attribute that selects the instruction set
 *   WIDTH     d, the channels of a head
 *   LANES     the power of two at or above WIDTH
 *
 * A vector holds the channels of one head at one token; its unused lanes are zero. */

#define V NAME(vector)
typedef float V __attribute__((vector_size(LANES * 4)));

struct NAME(norm) {
    V weight, bias;
};

static inline __attribute__((always_inline)) TARGET V NAME(load)(const float *p) {
    V v = {0};
    memcpy(&v, p, WIDTH * sizeof(float));
    return v;
}

static inline __attribute__((always_inline)) TARGET void NAME(store)(float *p, V v) {
    memcpy(p, &v, WIDTH * sizeof(float));
}

static inline __attribute__((always_inline)) TARGET float NAME(sum)(V v) {
    float sum = 0;
    for (int i = 0; i < WIDTH; i++) sum += v[i];
    return sum;
}

/* x - mean over the head's channels; unused lanes stay zero. */
static inline __attribute__((always_inline)) TARGET V NAME(centre)(V x) {
    V mean = {0};
    const float m = NAME(sum)(x) * (1.0f / WIDTH);
    for (int i = 0; i < WIDTH; i++) mean[i] = m;
    return x - mean;
}

static inline __attribute__((always_inline)) TARGET float NAME(deviation)(V centred) {
    return sqrtf(NAME(sum)(centred * centred) * (1.0f / (WIDTH - 1)));
}

static inline __attribute__((always_inline)) TARGET V NAME(normalise)(V x, struct NAME(norm) norm) {
    const V centred = NAME(centre)(x);
    return norm.weight * (centred / (NAME(deviation)(centred) + EPSILON)) + norm.bias;
}

/* Gradient at x of normalise(x) from the gradient g at its result; that of weight and bias is added to gnorm. */
static inline __attribute__((always_inline)) TARGET V NAME(normalise_backward)(
        V x, struct NAME(norm) norm, V g, struct NAME(norm) *gnorm) {
    const V centred = NAME(centre)(x);
    const float s = NAME(deviation)(centred), scale = 1 / (s + EPSILON);
    gnorm->weight += g * (centred * scale);
    gnorm->bias += g;
    g = g * norm.weight * scale;
    const float through_s = s > 0 ? NAME(sum)(g * centred) * scale / (s * (WIDTH - 1)) : 0;
    return NAME(centre)(g - centred * through_s);
}

static inline __attribute__((always_inline)) TARGET struct NAME(norm) NAME(load_norm)(const float *p, long heads, long h) {
    return (struct NAME(norm)){NAME(load)(p + h * WIDTH), NAME(load)(p + (heads + h) * WIDTH)};
}

/* The operators of all elements of one row of the grid: k^T v over the element and, if wanted, over its four sides. */
TARGET static void NAME(integrate)(const struct dg *s, long strip) {
    const long heads = s->heads, c = heads * WIDTH, w = s->columns * s->pw, square = WIDTH * WIDTH;
    const long operators = s->batch * s->rows * s->columns * heads;
    for (long column = 0; column < s->columns; column++)
        for (long h = 0; h < heads; h++) {
            const struct NAME(norm) knorm = NAME(load_norm)(s->key_norm, heads, h);
            const struct NAME(norm) vnorm = NAME(load_norm)(s->value_norm, heads, h);
            V volume[WIDTH] = {0}, side[4][WIDTH] = {0};
            for (long y = 0; y < s->ph; y++)
                for (long x = 0; x < s->pw; x++) {
                    const float *kv = s->kv + ((strip * s->ph + y) * w + column * s->pw + x) * 2 * c + h * WIDTH;
                    const V k = NAME(normalise)(NAME(load)(kv), knorm);
                    const V v = NAME(normalise)(NAME(load)(kv + c), vnorm);
                    const int touches[4] = {x == 0, x == s->pw - 1, y == 0, y == s->ph - 1};
                    for (int i = 0; i < WIDTH; i++) volume[i] += k[i] * v;
                    if (s->sides)
                        for (int f = 0; f < 4; f++)
                            if (touches[f])
                                for (int i = 0; i < WIDTH; i++) side[f][i] += k[i] * v;
                }
            const long at = ((strip * s->columns + column) * heads + h) * square;
            const float tokens = (float)(s->ph * s->pw);
            for (int i = 0; i < WIDTH; i++) NAME(store)(s->volume + at + i * WIDTH, volume[i] / tokens);
            if (s->sides)
                for (int f = 0; f < 4; f++) {
                    const float length = (float)(f < 2 ? s->ph : s->pw);
                    for (int i = 0; i < WIDTH; i++)
                        NAME(store)(s->sides + f * operators * square + at + i * WIDTH, side[f][i] / length);
                }
        }
}

TARGET static void NAME(integrate_backward)(const struct dg *s, long strip) {
    const long heads = s->heads, c = heads * WIDTH, w = s->columns * s->pw, square = WIDTH * WIDTH;
    const long operators = s->batch * s->rows * s->columns * heads;
    for (long h = 0; h < heads; h++) {
        const struct NAME(norm) knorm = NAME(load_norm)(s->key_norm, heads, h);
        const struct NAME(norm) vnorm = NAME(load_norm)(s->value_norm, heads, h);
        struct NAME(norm) gknorm = {{0}, {0}}, gvnorm = {{0}, {0}};
        for (long column = 0; column < s->columns; column++) {
            const long at = ((strip * s->columns + column) * heads + h) * square;
            V gvolume[WIDTH], gvolume_columns[WIDTH] = {0}, gside[4][WIDTH] = {0};
            for (int i = 0; i < WIDTH; i++) {
                gvolume[i] = NAME(load)(s->gvolume + at + i * WIDTH) / (float)(s->ph * s->pw);
                if (s->sides)
                    for (int f = 0; f < 4; f++)
                        gside[f][i] = NAME(load)(s->gsides + f * operators * square + at + i * WIDTH) /
                                      (float)(f < 2 ? s->ph : s->pw);
            }
            for (int j = 0; j < WIDTH; j++)
                for (int i = 0; i < WIDTH; i++) gvolume_columns[j][i] = gvolume[i][j];
            for (long y = 0; y < s->ph; y++)
                for (long x = 0; x < s->pw; x++) {
                    const long pixel = ((strip * s->ph + y) * w + column * s->pw + x) * 2 * c + h * WIDTH;
                    const V k = NAME(load)(s->kv + pixel), v = NAME(load)(s->kv + pixel + c);
                    const V kn = NAME(normalise)(k, knorm), vn = NAME(normalise)(v, vnorm);
                    const int touches[4] = {x == 0, x == s->pw - 1, y == 0, y == s->ph - 1};
                    V gk = {0}, gv = {0};
                    for (int i = 0; i < WIDTH; i++) {
                        gv += kn[i] * gvolume[i];
                        gk += vn[i] * gvolume_columns[i];
                    }
                    if (s->sides)
                        for (int f = 0; f < 4; f++)
                            if (touches[f])
                                for (int i = 0; i < WIDTH; i++) {
                                    gv += kn[i] * gside[f][i];
                                    gk[i] += NAME(sum)(gside[f][i] * vn);
                                }
                    NAME(store)(s->gkv + pixel, NAME(normalise_backward)(k, knorm, gk, &gknorm));
                    NAME(store)(s->gkv + pixel + c, NAME(normalise_backward)(v, vnorm, gv, &gvnorm));
                }
        }
        float *gk = s->gkey_norm + strip * 2 * c + h * WIDTH, *gv = s->gvalue_norm + strip * 2 * c + h * WIDTH;
        NAME(store)(gk, gknorm.weight);
        NAME(store)(gk + c, gknorm.bias);
        NAME(store)(gv, gvnorm.weight);
        NAME(store)(gv + c, gvnorm.bias);
    }
}

/* q K at every token of one row of the grid. */
TARGET static void NAME(apply)(const struct dg *s, long strip) {
    const long heads = s->heads, c = heads * WIDTH, w = s->columns * s->pw;
    for (long column = 0; column < s->columns; column++)
        for (long h = 0; h < heads; h++) {
            const float *operator= s->operators + ((strip * s->columns + column) * heads + h) * WIDTH * WIDTH;
            V K[WIDTH];
            for (int i = 0; i < WIDTH; i++) K[i] = NAME(load)(operator+ i * WIDTH);
            for (long y = 0; y < s->ph; y++)
                for (long x = 0; x < s->pw; x++) {
                    const long pixel = ((strip * s->ph + y) * w + column * s->pw + x) * c + h * WIDTH;
                    const V q = NAME(load)(s->q + pixel);
                    V out = {0};
                    for (int i = 0; i < WIDTH; i++) out += q[i] * K[i];
                    NAME(store)(s->out + pixel, out);
                }
        }
}

TARGET static void NAME(apply_backward)(const struct dg *s, long strip) {
    const long heads = s->heads, c = heads * WIDTH, w = s->columns * s->pw;
    for (long column = 0; column < s->columns; column++)
        for (long h = 0; h < heads; h++) {
            const long at = ((strip * s->columns + column) * heads + h) * WIDTH * WIDTH;
            V K_columns[WIDTH] = {0}, gK[WIDTH] = {0};
            for (int j = 0; j < WIDTH; j++)
                for (int i = 0; i < WIDTH; i++) K_columns[j][i] = s->operators[at + i * WIDTH + j];
            for (long y = 0; y < s->ph; y++)
                for (long x = 0; x < s->pw; x++) {
                    const long pixel = ((strip * s->ph + y) * w + column * s->pw + x) * c + h * WIDTH;
                    const V q = NAME(load)(s->q + pixel), gout = NAME(load)(s->gout + pixel);
                    V gq = {0};
                    for (int j = 0; j < WIDTH; j++) gq += gout[j] * K_columns[j];
                    for (int i = 0; i < WIDTH; i++) gK[i] += q[i] * gout;
                    NAME(store)(s->gq + pixel, gq);
                }
            for (int i = 0; i < WIDTH; i++) NAME(store)(s->goperators + at + i * WIDTH, gK[i]);
        }
}

#undef V
