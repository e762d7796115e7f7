/* Back through the second half of the attentive scan. Included by attentive_scan.c once per instruction set, after
 * attentive_core_body.h.
 *
 * The sequences of a task are walked from their last chunk of TOKENS tokens to the first, the tokens of a chunk from
 * its last segment to the first. The states start from those kept before every segment; they and all else that the
 * forward pass did not keep are computed again while they are in the cache. Gradients at the weights are summed over
 * the sequences of a task, in rows of whole vectors. */

/* Rows of a task's sums. */
static long NAME(sum_rows)(const struct core *s) { return SUM_MATRICES + s->channels + 2 * STATES + 2 * s->rank; }

struct NAME(gradient_chunk) { /* rows of whole vectors */
    struct chunk forward;     /* u, delta, parameters; `result` at u through the parameters */
    float *g, *result, *slope, *parameters;
    /* `g` at the result of the projection; `result` at the scan's result, then at u through the scan; `slope` of the
     * softplus, then the gradient before it; `parameters` at B, C and dt */
    float *states; /* (STATES, padded 2 channels): gradient at the state after the chunk */
    VF *h, *decay, *at_BC;
};

static inline long NAME(parameter_stride)(const struct core *s) { return 2 * STATES + PADDED(s->rank); }

static long NAME(gradient_workspace)(const struct core *s) {
    const long rows = ROUNDED(TOKENS), hidden = PADDED(2 * s->channels);
    const long columns = 5 * hidden + PADDED(s->channels) + NAME(parameter_stride)(s);
    return rows * columns + STATES * hidden + (4 * SEGMENT + 1) * STATES * LANES;
}

/* Memory must be aligned to vectors: what is taken as vectors comes first, rows of floats after it. */
static struct NAME(gradient_chunk) NAME(gradient_chunk_at)(const struct core *s, float *memory) {
    const long rows = ROUNDED(TOKENS), hidden = PADDED(2 * s->channels);
    struct NAME(gradient_chunk) m;
    m.h = (VF *)memory, m.decay = m.h + (SEGMENT + 1) * STATES, m.at_BC = m.decay + SEGMENT * STATES;
    m.states = (float *)(m.at_BC + SEGMENT * 2 * STATES);
    m.forward.u = m.states + STATES * hidden;
    m.forward.delta = m.forward.u + rows * hidden;
    m.forward.result = m.forward.delta + rows * hidden;
    m.result = m.forward.result + rows * hidden;
    m.slope = m.result + rows * hidden;
    m.g = m.slope + rows * hidden;
    m.parameters = m.g + rows * PADDED(s->channels);
    return m;
}

/* Back through projection and norm: from the gradient at the pixels to that at the scan's results. The weight of the
 * norm is part of the projection, and the mean over the channels is taken off its columns: what is left of the norm is
 * to take off what lies along the normalised pixel, and to scale. */
static TARGET void NAME(unfinish)(const struct core_gradient *s, long sequence, long first, long count,
    const struct NAME(gradient_chunk) * m, float *sums) {
    const struct core *f = &s->core;
    const long c = f->channels, stride = PADDED(2 * c), outputs = PADDED(c);
    const struct matrix from_result = {c, stride / LANES, s->from_result, NULL, 0};
    const struct factors factors = {c, stride, outputs, stride};
    const long row = sequence * f->block_height * f->block_width + first;
    const float *normal = f->normal + row * stride;
    float *bias = sums + SUM_RESULT_BIAS * stride;
    for (long t = 0; t < count; t++)
        for (long i = 0; i < c; i += LANES) {
            const long j = i < c - LANES ? i : c - LANES;
            NAME(store)(m->g + t * outputs + j, NAME(load)(s->g + f->order[row + t] * c + j, LANES), LANES);
        }
    for (long i = 0; i < outputs; i += LANES) {
        VF sum = NAME(load)(bias + i, LANES);
        for (long t = 0; t < count; t++) sum += NAME(load)(m->g + t * outputs + i, LANES);
        NAME(store)(bias + i, sum, LANES);
    }
    NAME(outer_products)(&factors, count, m->g, normal, sums + SUM_MATRICES * stride, 0);
    NAME(product)(&from_result, count, m->g, outputs, m->result, stride);
    for (long t = 0; t < count; t++, normal += stride) {
        float *result = m->result + t * stride;
        VF along = {0};
        for (long i = 0; i < stride; i += LANES) along += NAME(load)(result + i, LANES) * NAME(load)(normal + i, LANES);
        along = NAME(sum)(along) * (1.0f / (float)(2 * c));
        for (long i = 0; i < stride; i += LANES) {
            const VF rest = NAME(load)(result + i, LANES) - along * NAME(load)(normal + i, LANES);
            NAME(store)(result + i, rest * f->scales[row + t], LANES);
        }
    }
}

/* Softplus and its slope. */
static TARGET void NAME(step_sizes)(const struct NAME(gradient_chunk) * m, long floats) {
    for (long i = 0; i < floats; i += LANES) {
        const VF x = NAME(load)(m->forward.delta + i, LANES), e = NAME(exponential_of_size)(x);
        NAME(store)(m->slope + i, NAME(select)(x < 0.0f, e, (VF){0} + 1.0f) / (e + 1.0f), LANES);
        NAME(store)(m->forward.delta + i, NAME(softplus)(x, e), LANES);
    }
}

/* The states of LANES channels before every token of a segment and after its last one, and the decays. */
static inline __attribute__((always_inline)) TARGET void NAME(states_again)(struct scan_rows r, long tokens,
    const float *start, long start_stride, const VF *A, const struct NAME(gradient_chunk) * m) {
    VF h[STATES];
    for (int n = 0; n < STATES; n++) m->h[n] = h[n] = NAME(load)(start + n * start_stride, LANES);
    for (long t = 0; t < tokens; t++) {
        const VF delta = NAME(load)(r.delta, LANES), du = delta * NAME(load)(r.u, LANES);
        const VF step = NAME(least)(delta, SCAN_STEP_LIMIT);
        for (int n = 0; n < STATES; n++) {
            const VF decay = NAME(exp2_finite)(step * A[n]);
            h[n] = decay * h[n] + du * r.B[n];
            m->decay[t * STATES + n] = decay;
            m->h[(t + 1) * STATES + n] = h[n];
        }
        r.u += r.u_stride, r.delta += r.delta_stride, r.B += r.B_stride;
    }
}

/* Back through the scan of LANES channels from c over a segment that starts at row `first` of the chunk. The gradients
 * at B and C are added to those of other channels, unless these are the first. */
static inline __attribute__((always_inline)) TARGET void NAME(unscan)(const struct core *s, long c, long first,
    long tokens, const float *start, const struct NAME(gradient_chunk) * m, float *sums, const int adds) {
    const long stride = PADDED(2 * s->channels), parameters = s->rank + 2 * STATES;
    const float *B = m->forward.parameters + first * parameters + s->rank;
    const float *u = m->forward.u + first * stride + c, *delta = m->forward.delta + first * stride + c;
    float *result = m->result + first * stride + c, *slope = m->slope + first * stride + c;
    VF A[STATES], gh[STATES], gA[STATES];
    for (int n = 0; n < STATES; n++) {
        A[n] = NAME(load)(s->A + n * stride + c, LANES) * LOG2_E;
        gh[n] = NAME(load)(m->states + n * stride + c, LANES);
        gA[n] = NAME(load)(sums + (SUM_A + n) * stride + c, LANES);
    }
    const VF skip = NAME(load)(s->D + c, LANES);
    VF gD = NAME(load)(sums + SUM_D * stride + c, LANES), gbias = NAME(load)(sums + SUM_DT_BIAS * stride + c, LANES);
    const struct scan_rows rows = {u, delta, B, NULL, NULL, stride, stride, parameters, 0, 0};
    NAME(states_again)(rows, tokens, start + c, stride, A, m);
    for (long t = tokens - 1; t >= 0; t--) {
        const VF u_t = NAME(load)(u + t * stride, LANES), delta_t = NAME(load)(delta + t * stride, LANES);
        const VF gy = NAME(load)(result + t * stride, LANES), du = delta_t * u_t;
        const float *B_t = B + t * parameters, *C_t = B_t + STATES;
        const VF *h = m->h + t * STATES, *decay = m->decay + t * STATES;
        VF *at_B = m->at_BC + t * 2 * STATES, *at_C = at_B + STATES, gdu = {0}, gstep = {0};
        for (int n = 0; n < STATES; n++) {
            const VF g = gh[n] + gy * C_t[n];
            at_B[n] = adds ? at_B[n] + g * du : g * du;
            at_C[n] = adds ? at_C[n] + gy * h[STATES + n] : gy * h[STATES + n];
            gdu += g * B_t[n];
            gh[n] = g * decay[n];
            const VF gexponent = gh[n] * h[n]; /* gradient at delta A */
            gstep += gexponent * A[n];
            gA[n] += gexponent * delta_t;
        }
        const VF at_step = (gstep * (1 / LOG2_E) + gdu * u_t) * NAME(load)(slope + t * stride, LANES);
        gD += gy * u_t;
        gbias += at_step;
        NAME(store)(result + t * stride, gdu * delta_t + gy * skip, LANES);
        NAME(store)(slope + t * stride, at_step, LANES);
    }
    for (int n = 0; n < STATES; n++) {
        NAME(store)(m->states + n * stride + c, gh[n], LANES);
        NAME(store)(sums + (SUM_A + n) * stride + c, gA[n], LANES);
    }
    NAME(store)(sums + SUM_D * stride + c, gD, LANES);
    NAME(store)(sums + SUM_DT_BIAS * stride + c, gbias, LANES);
}

/* Back through the scan of a chunk; gradients at B and C are summed over all channels. */
static TARGET void NAME(unscan_chunk)(const struct core_gradient *g, long sequence, long first, long count,
    const struct NAME(gradient_chunk) * m, float *sums) {
    const struct core *s = &g->core;
    const long hidden = PADDED(2 * s->channels), parameters = NAME(parameter_stride)(s);
    const long length = s->block_height * s->block_width, segments = (length + SEGMENT - 1) / SEGMENT;
    const int *own = s->order + sequence * length + first, *next = own - TOKENS; /* the tokens of the next chunk */
    const float *starts = s->starts + (sequence * segments + first / SEGMENT) * STATES * hidden;
    for (long t = (count - 1) / SEGMENT * SEGMENT; t >= 0; t -= SEGMENT) {
        const long tokens = count - t < SEGMENT ? count - t : SEGMENT;
        const float *start = starts + t / SEGMENT * STATES * hidden;
        for (long c = 0; c < hidden; c += LANES) {
            NAME(fetch)(g->gy, 2 * s->channels, own + t, tokens, c);
            NAME(fetch)(s->y, 2 * s->channels, next + t, first ? SEGMENT : 0, c);
            NAME(fetch)(g->g, s->channels, next + t, first ? SEGMENT : 0, c);
            if (c)
                NAME(unscan)(s, c, t, tokens, start, m, sums, 1);
            else
                NAME(unscan)(s, c, t, tokens, start, m, sums, 0);
        }
        for (long i = 0; i < tokens; i++)
            for (long n = 0; n < 2 * STATES; n += LANES)
                NAME(store)(m->parameters + (t + i) * parameters + n,
                    NAME(sums)(m->at_BC + i * 2 * STATES + n), LANES);
    }
}

/* Back through the scan's parameters, to the pixels of y and their prompts. */
static TARGET void NAME(unprepare)(const struct core_gradient *s, long sequence, long first, long count,
    const struct NAME(gradient_chunk) * m, float *sums) {
    const struct core *f = &s->core;
    const long hidden = 2 * f->channels, stride = PADDED(hidden), parameters = NAME(parameter_stride)(f);
    const long inputs = 2 * STATES + f->rank;
    const struct matrix from_delta = {hidden, PADDED(f->rank) / LANES, s->from_delta, NULL, 0};
    const struct matrix from_parameters = {inputs, stride / LANES, s->from_parameters, NULL, 0};
    const struct factors to_parameters = {inputs, stride, parameters, stride};
    const struct factors to_delta = {f->rank, stride, inputs, stride};
    const int *order = f->order + sequence * f->block_height * f->block_width + first;
    float *at_x_proj = sums + (SUM_MATRICES + f->channels) * stride, *through = m->forward.result;
    NAME(outer_products)(&to_delta, count, m->forward.parameters, m->slope, at_x_proj + inputs * stride, 0);
    NAME(product)(&from_delta, count, m->slope, stride, m->parameters + 2 * STATES, parameters);
    NAME(outer_products)(&to_parameters, count, m->parameters, m->forward.u, at_x_proj, 0);
    NAME(product)(&from_parameters, count, m->parameters, parameters, through, stride);
    struct NAME(walk) w = NAME(walk_from)(f, sequence, first);
    for (long t = 0; t < count; t++, NAME(step)(f, &w)) {
        const long pixel = f->prompt_sorted ? order[t] : w.pixel;
        NAME(add_row)(m->result + t * stride, through + t * stride, stride, 1, hidden, s->gy + order[t] * hidden);
        memcpy(s->gprompts + pixel * STATES, m->parameters + t * parameters + STATES, STATES * sizeof(float));
    }
}

/* Gradients of one sequence; those at the weights are added to `sums`. */
static TARGET void NAME(sequence_gradient)(
    const struct core_gradient *s, long sequence, float *memory, float *sums) {
    const struct core *f = &s->core;
    struct NAME(gradient_chunk) m = NAME(gradient_chunk_at)(f, memory);
    const long length = f->block_height * f->block_width, stride = PADDED(2 * f->channels);
    const long parameters = f->rank + 2 * STATES;
    memset(m.states, 0, (size_t)(STATES * stride) * sizeof(float));
    for (long first = (length - 1) / TOKENS * TOKENS; first >= 0; first -= TOKENS) {
        const long count = length - first < TOKENS ? length - first : TOKENS;
        const long row = sequence * length + first;
        m.forward.parameters = f->parameters + row * parameters;
        NAME(gather)(f, f->order + row, count, m.forward.u);
        NAME(before_softplus)(f, count, &m.forward, parameters);
        NAME(step_sizes)(&m, count * stride);
        NAME(unfinish)(s, sequence, first, count, &m, sums);
        NAME(unscan_chunk)(s, sequence, first, count, &m, sums);
        NAME(unprepare)(s, sequence, first, count, &m, sums);
    }
}
