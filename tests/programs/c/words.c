/*
 * An ordinary C program with libc: reads a text file, counts its words, sorts them with qsort,
 * adds up its numbers with strtod, writes a report to another file, reads that back and prints it.
 *
 * Arguments: the file to read and the file to write. Status 2 says that a file could not be used.
 */
#include <ctype.h>
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define WORD_BYTES 64

struct word {
    char text[WORD_BYTES];
    unsigned count;
};

struct words {
    struct word *items;
    size_t length, capacity;
};

static void fail(const char *what)
{
    fprintf(stderr, "words: %s: %s\n", what, strerror(errno));
    exit(2);
}

static void count_word(struct words *words, const char *text)
{
    for (size_t i = 0; i < words->length; i++)
        if (strcmp(words->items[i].text, text) == 0) {
            words->items[i].count++;
            return;
        }
    if (words->length == words->capacity) {
        words->capacity = words->capacity ? 2 * words->capacity : 8;
        words->items = realloc(words->items, words->capacity * sizeof *words->items);
        if (words->items == NULL)
            fail("memory");
    }
    struct word *word = &words->items[words->length++];
    snprintf(word->text, sizeof word->text, "%s", text);
    word->count = 1;
}

/* The most frequent first, then by the alphabet. */
static int by_count(const void *left, const void *right)
{
    const struct word *a = left, *b = right;
    if (a->count != b->count)
        return a->count < b->count ? 1 : -1;
    return strcmp(a->text, b->text);
}

static double read_words(const char *path, struct words *words)
{
    FILE *input = fopen(path, "r");
    if (input == NULL)
        fail(path);
    char text[WORD_BYTES];
    double sum = 0;
    while (fscanf(input, "%63s", text) == 1) {
        char *end;
        double number = strtod(text, &end);
        if (end != text && *end == '\0') {
            sum += number;
            continue;
        }
        for (char *c = text; *c != '\0'; c++)
            *c = (char)tolower((unsigned char)*c);
        count_word(words, text);
    }
    fclose(input);
    return sum;
}

static void write_report(const char *path, const struct words *words, double sum)
{
    FILE *output = fopen(path, "w+");
    if (output == NULL)
        fail(path);
    for (size_t i = 0; i < words->length && i < 5; i++)
        fprintf(output, "%-12s %5u %08x\n", words->items[i].text, words->items[i].count,
                words->items[i].count * 2654435761u);
    fprintf(output, "sum %.6f, root %.10g, hexadecimal %a\n", sum, sqrt(sum), sum);
    fprintf(output, "%lld words of %zu kinds\n", (long long)words->length, words->length);
    /* The first line again, through the same stream. */
    char line[128];
    rewind(output);
    if (fgets(line, sizeof line, output) == NULL)
        fail(path);
    fseek(output, 0, SEEK_END);
    fprintf(output, "first: %s", line);
    if (fclose(output) != 0)
        fail(path);
}

static void print_file(const char *path)
{
    struct stat status;
    if (stat(path, &status) != 0)
        fail(path);
    printf("report of %lld bytes\n", (long long)status.st_size);
    FILE *report = fopen(path, "r");
    if (report == NULL)
        fail(path);
    for (int c; (c = getc(report)) != EOF;)
        putchar(c);
    fclose(report);
}

int main(int count, char **arguments)
{
    if (count != 3) {
        fprintf(stderr, "usage: words INPUT OUTPUT\n");
        return 2;
    }
    struct words words = {0};
    double sum = read_words(arguments[1], &words);
    qsort(words.items, words.length, sizeof *words.items, by_count);
    write_report(arguments[2], &words, sum);
    print_file(arguments[2]);
    if (remove(arguments[2]) != 0 || fopen(arguments[2], "r") != NULL)
        fail(arguments[2]);
    printf("gone: %s\n", errno == ENOENT ? "no such file" : "another error");
    free(words.items);
    return 0;
}
