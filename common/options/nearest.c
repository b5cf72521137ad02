/* nearest.c - "did you mean": the nearest of a list of words, by edit distance. */
#include <ctype.h>
#include <string.h>

#include "options.h"

#define WORD_MAX 64

static size_t min3(size_t a, size_t b, size_t c)
{
    size_t least = a < b ? a : b;
    return least < c ? least : c;
}

/* Edits (insert, remove, replace, swap of neighbours) between two words of at most WORD_MAX. */
static size_t distance(const char *a, size_t a_length, const char *b, size_t b_length)
{
    size_t rows[3][WORD_MAX + 1];
    for (size_t j = 0; j <= b_length; j++)
        rows[0][j] = j;
    for (size_t i = 1; i <= a_length; i++) {
        size_t *now = rows[i % 3];
        const size_t *before = rows[(i + 2) % 3];
        now[0] = i;
        for (size_t j = 1; j <= b_length; j++) {
            int left = tolower((unsigned char)a[i - 1]);
            int right = tolower((unsigned char)b[j - 1]);
            now[j] = min3(before[j] + 1, now[j - 1] + 1, before[j - 1] + (left != right));
            if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1]) {
                size_t swapped = rows[(i + 1) % 3][j - 2] + 1;
                now[j] = swapped < now[j] ? swapped : now[j];
            }
        }
    }
    return rows[a_length % 3][b_length];
}

const char *tr_options_nearest(const char *text, const char *const *known)
{
    const char *best = NULL;
    size_t length = strlen(text);
    size_t least = length / 3 + 2; /* one more than what still counts as near */
    if (length > WORD_MAX)
        return NULL;
    for (; *known != NULL; known++) {
        size_t known_length = strlen(*known);
        if (known_length > WORD_MAX)
            continue;
        size_t edits = distance(text, length, *known, known_length);
        if (edits < least && edits < known_length) {
            least = edits;
            best = *known;
        }
    }
    return best;
}
