/* The digests of one chunk in one call, with the SHA-256 instructions of x86-64 and two messages at a time.

Optional: crypto/leaves.py does the same in Python, and a test compares the two. One message leaves the unit half
idle, because each round waits for the one before; two interleaved messages fill it. Freestanding: it calls nothing,
allocates nothing and keeps nothing, so it runs without the interpreter's lock. Definitions: FIPS 180-4, and
docs/encryption-format.md, "Leaves and content root". */

#include <stddef.h>
#include <stdint.h>

#if defined(__x86_64__)

#include <cpuid.h>
#include <immintrin.h>

#define LEAF 4096
#define CHUNK (1 << 20)
#define WITH_SHA __attribute__((target("sha,sse4.1,ssse3")))
#define INLINE static inline __attribute__((always_inline)) WITH_SHA

typedef struct {
    __m128i abef, cdgh;
} State;

static const uint32_t ROUND[64] __attribute__((aligned(16))) = {
    0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5,
    0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174,
    0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da,
    0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967,
    0x27b70a85, 0x2e1b2138, 0x4d2c6dfc, 0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85,
    0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070,
    0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f, 0x682e6ff3,
    0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2,
};

INLINE State start(void) {
    State s;
    s.abef = _mm_set_epi32(0x6a09e667, (int)0xbb67ae85, 0x510e527f, (int)0x9b05688c);
    s.cdgh = _mm_set_epi32(0x3c6ef372, (int)0xa54ff53a, 0x1f83d9ab, 0x5be0cd19);
    return s;
}

INLINE __m128i swapped(__m128i word) {
    return _mm_shuffle_epi8(word, _mm_set_epi64x(0x0c0d0e0f08090a0bLL, 0x0405060700010203LL));
}

/* Four rounds with the message words of one register. */
INLINE void four(State *s, __m128i w, __m128i k) {
    w = _mm_add_epi32(w, k);
    s->cdgh = _mm_sha256rnds2_epu32(s->cdgh, s->abef, w);
    s->abef = _mm_sha256rnds2_epu32(s->abef, s->cdgh, _mm_shuffle_epi32(w, 0x0e));
}

/* The next four words of the message schedule, into the place of the oldest four. */
INLINE void schedule(__m128i w[4], int i) {
    __m128i last = w[(i + 3) & 3];
    __m128i sum = _mm_add_epi32(_mm_sha256msg1_epu32(w[i & 3], w[(i + 1) & 3]), _mm_alignr_epi8(last, w[(i + 2) & 3], 4));
    w[i & 3] = _mm_sha256msg2_epu32(sum, last);
}

/* Take `blocks` blocks of 64 bytes of each of two messages. */
static WITH_SHA void take2(State *left, const uint8_t *a, State *right, const uint8_t *b, size_t blocks) {
    State s = *left, t = *right;
    for (; blocks; blocks--, a += 64, b += 64) {
        State s0 = s, t0 = t;
        __m128i v[4], w[4];
#pragma GCC unroll 16
        for (int i = 0; i < 16; i++) {
            __m128i k = _mm_load_si128((const __m128i *)ROUND + i);
            if (i < 4) {
                v[i] = swapped(_mm_loadu_si128((const __m128i *)a + i));
                w[i] = swapped(_mm_loadu_si128((const __m128i *)b + i));
            } else {
                schedule(v, i);
                schedule(w, i);
            }
            four(&s, v[i & 3], k);
            four(&t, w[i & 3], k);
        }
        s.abef = _mm_add_epi32(s.abef, s0.abef);
        s.cdgh = _mm_add_epi32(s.cdgh, s0.cdgh);
        t.abef = _mm_add_epi32(t.abef, t0.abef);
        t.cdgh = _mm_add_epi32(t.cdgh, t0.cdgh);
    }
    *left = s;
    *right = t;
}

/* Take blocks of a message, and of another for two states: these share the words of their schedule. */
static WITH_SHA void take3(State *left, const uint8_t *a, State *right, State *chain, const uint8_t *b, size_t blocks) {
    State s = *left, t = *right, u = *chain;
    for (; blocks; blocks--, a += 64, b += 64) {
        State s0 = s, t0 = t, u0 = u;
        __m128i v[4], w[4];
#pragma GCC unroll 16
        for (int i = 0; i < 16; i++) {
            __m128i k = _mm_load_si128((const __m128i *)ROUND + i);
            if (i < 4) {
                v[i] = swapped(_mm_loadu_si128((const __m128i *)a + i));
                w[i] = swapped(_mm_loadu_si128((const __m128i *)b + i));
            } else {
                schedule(v, i);
                schedule(w, i);
            }
            four(&s, v[i & 3], k);
            four(&t, w[i & 3], k);
            four(&u, w[i & 3], k);
        }
        s.abef = _mm_add_epi32(s.abef, s0.abef);
        s.cdgh = _mm_add_epi32(s.cdgh, s0.cdgh);
        t.abef = _mm_add_epi32(t.abef, t0.abef);
        t.cdgh = _mm_add_epi32(t.cdgh, t0.cdgh);
        u.abef = _mm_add_epi32(u.abef, u0.abef);
        u.cdgh = _mm_add_epi32(u.cdgh, u0.cdgh);
    }
    *left = s;
    *right = t;
    *chain = u;
}

INLINE void digest(State s, uint8_t *out) {
    __m128i feba = _mm_shuffle_epi32(s.abef, 0x1b), dchg = _mm_shuffle_epi32(s.cdgh, 0xb1);
    _mm_storeu_si128((__m128i *)out, swapped(_mm_blend_epi16(feba, dchg, 0xf0)));
    _mm_storeu_si128((__m128i *)out + 1, swapped(_mm_alignr_epi8(dchg, feba, 8)));
}

INLINE void copy(uint8_t *to, const uint8_t *from, size_t length) {
    for (size_t i = 0; i < length; i++)
        ((volatile uint8_t *)to)[i] = from[i]; /* volatile: no call of memcpy, which a freestanding library lacks */
}

INLINE void put(uint8_t *to, uint64_t value) {
    for (int i = 0; i < 8; i++)
        ((volatile uint8_t *)to)[i] = (uint8_t)(value >> (56 - 8 * i));
}

/* Write the padding of a message of `length` bytes, of which the last `length % 64` stand at `tail`: 1 or 2 blocks. */
INLINE size_t pad(uint8_t *tail, uint64_t length) {
    size_t at = length % 64, blocks = at < 56 ? 1 : 2;
    ((volatile uint8_t *)tail)[at] = 0x80;
    for (size_t i = at + 1; i < blocks * 64 - 8; i++)
        ((volatile uint8_t *)tail)[i] = 0;
    put(tail + blocks * 64 - 8, length * 8);
    return blocks;
}

/* Hash two messages of equal length. */
static WITH_SHA void hash2(const uint8_t *a, const uint8_t *b, uint64_t length, uint8_t *left, uint8_t *right) {
    uint8_t tail[2][128];
    State s = start(), t = start();
    size_t whole = length / 64, rest = length % 64;
    take2(&s, a, &t, b, whole);
    copy(tail[0], a + whole * 64, rest);
    copy(tail[1], b + whole * 64, rest);
    size_t blocks = pad(tail[0], length);
    pad(tail[1], length);
    take2(&s, tail[0], &t, tail[1], blocks);
    digest(s, left);
    digest(t, right);
}

/* SHA-256(salt || clear) and SHA-256(cipher) of one leaf, both of 65 blocks if it is full; `chain`, if there is one, goes on by the
whole blocks of the ciphertext. */
static WITH_SHA void leaf(const uint8_t *salt, const uint8_t *clear, const uint8_t *cipher, size_t length,
                          uint8_t *hidden, uint8_t *outer, State *chain) {
    uint8_t first[LEAF + 32];
    State s = start(), t = start();
    if (length < LEAF) {
        copy(first, salt, 32);
        copy(first + 32, clear, length);
        hash2(first, first, length + 32, hidden, hidden);
        hash2(cipher, cipher, length, outer, outer);
        if (chain) {
            State same = *chain;
            take2(chain, cipher, &same, cipher, length / 64);
        }
        return;
    }
    copy(first, salt, 32);
    copy(first + 32, clear, 32);
    if (chain) {
        take3(&s, first, &t, chain, cipher, 1);
        take3(&s, clear + 32, &t, chain, cipher + 64, LEAF / 64 - 1);
    } else {
        take2(&s, first, &t, cipher, 1);
        take2(&s, clear + 32, &t, cipher + 64, LEAF / 64 - 1);
    }
    uint8_t tail[2][64];
    copy(tail[0], clear + LEAF - 32, 32);
    pad(tail[0], LEAF + 32);
    pad(tail[1], LEAF);
    take2(&s, tail[0], &t, tail[1], 1);
    digest(s, hidden);
    digest(t, outer);
}

/* Replace `count` nodes by the root of their tree; an odd one at the end of a level moves up unchanged. */
static WITH_SHA void fold(uint8_t *nodes, size_t count) {
    uint8_t text[2][65];
    text[0][0] = text[1][0] = 1;
    while (count > 1) {
        size_t pairs = count / 2;
        for (size_t i = 0; i < pairs; i += 2) {
            size_t next = i + 1 < pairs ? i + 1 : i;
            copy(text[0] + 1, nodes + 64 * i, 64);
            copy(text[1] + 1, nodes + 64 * next, 64);
            hash2(text[0], text[1], 65, nodes + 32 * i, nodes + 32 * next);
        }
        if (count & 1)
            copy(nodes + 32 * pairs, nodes + 32 * (count - 1), 32);
        count = pairs + (count & 1);
    }
}

/* Whether this processor has the instructions. */
int steelyard_supported(void) {
    unsigned a, b, c, d;
    if (!__get_cpuid(1, &a, &b, &c, &d) || !(c & bit_SSSE3) || !(c & bit_SSE4_1))
        return 0;
    return __get_cpuid_count(7, 0, &a, &b, &c, &d) && (b >> 29 & 1);
}

/* The leaf list of a chunk, 32 bytes a leaf to `salted`, its chunk root to `root`, and SHA-256(cipher) to `block` unless
that is null.

`salting` is what precedes the index in a salt: 22 bytes of label and 32 of key. `length` is 1 to 1,048,576. */
WITH_SHA void steelyard_leaves(const uint8_t *clear, const uint8_t *cipher, size_t length, uint64_t index,
                               const uint8_t *salting, uint8_t *salted, uint8_t *root, uint8_t *block) {
    State chain = start();
    uint8_t nodes[CHUNK / LEAF * 32], text[2][73], salt[2][32], outer[2][32];
    size_t count = (length + LEAF - 1) / LEAF;
    for (size_t i = 0; i < count; i += 2) {
        size_t both = i + 1 < count ? 2 : 1;
        for (size_t j = 0; j < 2; j++) {
            copy(text[j], salting, 54);
            put(text[j] + 54, index + i + j);
        }
        hash2(text[0], text[1], 62, salt[0], salt[1]);
        for (size_t j = 0; j < both; j++) {
            size_t at = (i + j) * LEAF, part = length - at < LEAF ? length - at : LEAF;
            leaf(salt[j], clear + at, cipher + at, part, salted + 32 * (i + j), outer[j], block ? &chain : 0);
            text[j][0] = 0;
            put(text[j] + 1, index + i + j);
            copy(text[j] + 9, outer[j], 32);
            copy(text[j] + 41, salted + 32 * (i + j), 32);
        }
        hash2(text[0], text[both - 1], 73, nodes + 32 * i, nodes + 32 * (i + both - 1));
    }
    fold(nodes, count);
    copy(root, nodes, 32);
    if (!block)
        return;
    uint8_t tail[128];
    State same = chain;
    copy(tail, cipher + length / 64 * 64, length % 64);
    take2(&chain, tail, &same, tail, pad(tail, length));
    digest(chain, block);
}

/* The chunk root of public bytes: `salted` is the chunk's part of the leaf list. */
WITH_SHA void steelyard_root(const uint8_t *cipher, size_t length, uint64_t index, const uint8_t *salted, uint8_t *root) {
    uint8_t nodes[CHUNK / LEAF * 32], text[2][73];
    size_t count = (length + LEAF - 1) / LEAF;
    for (size_t i = 0; i < count; i += 2) {
        size_t both = i + 1 < count ? 2 : 1;
        for (size_t j = 0; j < both; j++) {
            text[j][0] = 0;
            put(text[j] + 1, index + i + j);
            copy(text[j] + 41, salted + 32 * (i + j), 32);
        }
        const uint8_t *here = cipher + i * LEAF, *next = cipher + (i + both - 1) * LEAF;
        if ((i + 2) * LEAF <= length) {
            hash2(here, next, LEAF, text[0] + 9, text[1] + 9);
        } else { /* the last two, or the last: one of them may be short */
            size_t full = length - i * LEAF < LEAF ? length - i * LEAF : LEAF;
            hash2(here, here, full, text[0] + 9, text[0] + 9);
            if (both == 2)
                hash2(next, next, length - (i + 1) * LEAF, text[1] + 9, text[1] + 9);
        }
        hash2(text[0], text[both - 1], 73, nodes + 32 * i, nodes + 32 * (i + both - 1));
    }
    fold(nodes, count);
    copy(root, nodes, 32);
}

/* SHA-256 of two messages of equal length, 32 bytes each to `out`. */
WITH_SHA void steelyard_pair(const uint8_t *a, const uint8_t *b, size_t length, uint8_t *out) {
    hash2(a, b, length, out, out + 32);
}

#else

int steelyard_supported(void) { return 0; }
void steelyard_leaves(const uint8_t *clear, const uint8_t *cipher, size_t length, uint64_t index,
                      const uint8_t *salting, uint8_t *salted, uint8_t *root, uint8_t *block) {}
void steelyard_root(const uint8_t *cipher, size_t length, uint64_t index, const uint8_t *salted, uint8_t *root) {}
void steelyard_pair(const uint8_t *a, const uint8_t *b, size_t length, uint8_t *out) {}

#endif
