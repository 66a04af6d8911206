/*
 * What the public suite of WASI preview 1 (https://github.com/WebAssembly/wasi-testsuite) demands of a C
 * library's view, in our own words: one case for each of its programs in C, by the same name. The case is
 * the name of the program's file. Files are those of the directory that was found open as "/".
 */
#undef NDEBUG
#include <assert.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

static void resolution_monotonic(void) {
    struct timespec resolution;
    assert(clock_getres(CLOCK_MONOTONIC, &resolution) == 0);
}

static void resolution_realtime(void) {
    struct timespec resolution;
    assert(clock_getres(CLOCK_REALTIME, &resolution) == 0);
}

/* No two looks at the clock see the same time. */
static void time_monotonic(void) {
    struct timespec before, after;
    assert(clock_gettime(CLOCK_MONOTONIC, &before) == 0);
    for (int look = 0; look < 1000; look++) {
        assert(clock_gettime(CLOCK_MONOTONIC, &after) == 0);
        long long passed = (after.tv_sec - before.tv_sec) * 1000000000LL + after.tv_nsec - before.tv_nsec;
        assert(passed > 0);
        before = after;
    }
}

static void time_realtime(void) {
    struct timespec now;
    assert(clock_gettime(CLOCK_REALTIME, &now) == 0);
}

/* A listing has each file once, with the number that the file itself tells. */
static void listing(void) {
    int directory = open("fopendir.dir", O_RDONLY | O_DIRECTORY);
    assert(directory != -1);
    DIR *entries = fdopendir(directory);
    assert(entries != NULL);
    ino_t found[2] = {0};
    for (struct dirent *entry; (entry = readdir(entries)) != NULL;) {
        if (entry->d_name[0] == '.')
            continue;
        int first = strcmp(entry->d_name, "file-0") == 0;
        assert(first || strcmp(entry->d_name, "file-1") == 0);
        struct stat attributes;
        assert(fstatat(directory, entry->d_name, &attributes, AT_SYMLINK_NOFOLLOW) == 0);
        assert(attributes.st_ino == entry->d_ino);
        assert(found[!first] == 0);
        found[!first] = entry->d_ino;
    }
    assert(closedir(entries) == 0);
    assert(found[0] != 0 && found[1] != 0 && found[0] != found[1]);
}

static void open_stream(void) {
    FILE *file = fopen("file", "r");
    assert(file != NULL);
    assert(fclose(file) == 0);
}

/* Run without a directory: nothing is open to look in. */
static void nothing_open(void) {
    assert(fopen("file", "r") == NULL);
    assert(errno == ENOTCAPABLE);
}

/* A stream's place and its descriptor's agree once it is flushed. */
static void places(void) {
    FILE *file = fopen("lseek.txt", "r");
    assert(file != NULL);
    int descriptor = fileno(file);
    char bytes[4];
    assert(fread(bytes, 1, sizeof bytes, file) == sizeof bytes);
    fflush(file);
    assert(lseek(descriptor, 0, SEEK_CUR) == 4);
    assert(fread(bytes, 1, 1, file) == 1 && bytes[0] == '4');
    fflush(file);
    assert(lseek(descriptor, 0, SEEK_CUR) == 5);
    assert(lseek(descriptor, 0, SEEK_SET) == 0);
    assert(lseek(descriptor, 0, SEEK_END) == 8);
    assert(fclose(file) == 0);
}

static void read_at_offset(void) {
    int file = open("pread.txt", O_RDONLY);
    assert(file > 2);
    char bytes[16];
    assert(pread(file, bytes, 3, 4) == 3);
    assert(memcmp(bytes, "d-t", 3) == 0);
    assert(close(file) == 0);
}

static void write_at_offset(void) {
    const char *name = "writeable/pwrite.txt.cleanup";
    assert(access(name, F_OK) != 0);
    int file = open(name, O_WRONLY | O_CREAT, 0600);
    assert(file > 2);
    assert(pwrite(file, "very long text", 14, 0) == 14);
    assert(pwrite(file, "test", 4, 3) == 4);
    assert(close(file) == 0);
    file = open(name, O_RDONLY);
    char bytes[16];
    assert(read(file, bytes, sizeof bytes) == 14);
    assert(memcmp(bytes, "vertestng text", 14) == 0);
    assert(close(file) == 0);
    assert(remove(name) == 0);
}

/* Appending moves the place, writing at an offset does not. The file is left. */
static void append(void) {
    int file = open("pwrite.cleanup", O_CREAT | O_TRUNC | O_WRONLY | O_APPEND, 0600);
    assert(file > 2);
    assert(write(file, "ab", 2) == 2);
    assert(lseek(file, 0, SEEK_SET) == 0);
    assert(write(file, "cd", 2) == 2);
    assert(lseek(file, 0, SEEK_CUR) == 4);
    assert(pwrite(file, "xyz", 3, 0) == 3);
    assert(lseek(file, 0, SEEK_CUR) == 4);
    off_t end = lseek(file, 0, SEEK_END);
    assert(end == 4 || end == 7);
    assert(close(file) == 0);
}

static void shut_down_nothing(void) {
    assert(shutdown(3, SHUT_RD) == -1 && errno == EBADF);
}

static void shut_down_output(void) {
    assert(shutdown(STDOUT_FILENO, SHUT_RD) == -1 && errno == ENOTSOCK);
}

/* Two files of one directory lie on one device and have two numbers. */
static void numbers(void) {
    struct stat one, two;
    int first = open("file", O_RDONLY), second = open("lseek.txt", O_RDONLY);
    assert(fstat(first, &one) == 0 && fstat(second, &two) == 0);
    assert(one.st_dev == two.st_dev && one.st_ino != two.st_ino);
}

static const struct {
    const char *name;
    void (*run)(void);
} cases[] = {
    {"clock_getres-monotonic", resolution_monotonic},
    {"clock_getres-realtime", resolution_realtime},
    {"clock_gettime-monotonic", time_monotonic},
    {"clock_gettime-realtime", time_realtime},
    {"fdopendir-with-access", listing},
    {"fopen-with-access", open_stream},
    {"fopen-with-no-access", nothing_open},
    {"lseek", places},
    {"pread-with-access", read_at_offset},
    {"pwrite-with-access", write_at_offset},
    {"pwrite-with-append", append},
    {"sock_shutdown-invalid_fd", shut_down_nothing},
    {"sock_shutdown-not_sock", shut_down_output},
    {"stat-dev-ino", numbers},
};

int main(int count, char **arguments) {
    assert(count >= 1);
    size_t length = strcspn(arguments[0], ".");
    for (size_t index = 0; index < sizeof cases / sizeof cases[0]; index++) {
        if (strlen(cases[index].name) == length && strncmp(cases[index].name, arguments[0], length) == 0) {
            cases[index].run();
            return 0;
        }
    }
    fprintf(stderr, "no case %s\n", arguments[0]);
    return 2;
}
