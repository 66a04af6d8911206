/*
 * What a C library does with files: streams, descriptors, directories, links. It works in the current
 * directory, leaves files there, says "all is well" and ends with status 0.
 */
#undef NDEBUG
#include <assert.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* A call that must fail, and why. */
#define FAILS(call, reason) \
    do { \
        errno = 0; \
        assert((call) == -1); \
        assert(errno == (reason)); \
    } while (0)

static void streams(void) {
    FILE *file = fopen("text", "w+");
    assert(file != NULL);
    for (int number = 0; number < 1000; number++)
        fprintf(file, "line %d\n", number);
    rewind(file);
    char line[32];
    for (int number = 0; number < 500; number++)
        assert(fgets(line, sizeof line, file) != NULL);
    assert(strcmp(line, "line 499\n") == 0);
    long place = ftell(file);
    assert(fgets(line, sizeof line, file) != NULL);
    assert(fseek(file, place, SEEK_SET) == 0);
    assert(fgets(line, sizeof line, file) != NULL);
    assert(strcmp(line, "line 500\n") == 0);
    assert(fclose(file) == 0);
    file = fopen("text", "a");
    assert(fputs("the end\n", file) >= 0);
    assert(fclose(file) == 0);
    struct stat attributes;
    assert(stat("text", &attributes) == 0);
    assert(S_ISREG(attributes.st_mode));
    assert(attributes.st_size == 10 * 7 + 90 * 8 + 900 * 9 + 8);
    assert(fopen("missing/text", "w") == NULL && errno == ENOENT);
}

static void descriptors(void) {
    int file = open("bytes", O_CREAT | O_EXCL | O_RDWR | O_APPEND, 0600);
    assert(file > 2);
    assert(write(file, "0123", 4) == 4);
    assert(lseek(file, 0, SEEK_SET) == 0);
    assert(write(file, "4567", 4) == 4);
    assert(lseek(file, 0, SEEK_CUR) == 8);
    char bytes[8];
    assert(pread(file, bytes, 8, 0) == 8);
    assert(memcmp(bytes, "01234567", 8) == 0);
    assert(lseek(file, 0, SEEK_CUR) == 8);
    assert(ftruncate(file, 100) == 0);
    assert(lseek(file, 0, SEEK_END) == 100);
    assert(fsync(file) == 0);
    assert(close(file) == 0);
    FAILS(close(file), EBADF);
    FAILS(open("bytes", O_CREAT | O_EXCL | O_RDWR, 0600), EEXIST);
    FAILS(open("bytes/", O_RDONLY), ENOTDIR);
    FAILS(open(".", O_RDWR), EISDIR);
    file = open("bytes", O_RDONLY);
    FAILS(write(file, "x", 1), EBADF);
    assert(close(file) == 0);
}

static void directories(void) {
    assert(mkdir("tree", 0700) == 0);
    FAILS(mkdir("tree", 0700), EEXIST);
    assert(mkdir("tree/branch", 0700) == 0);
    assert(fclose(fopen("tree/leaf", "w")) == 0);
    FAILS(rmdir("tree"), ENOTEMPTY);
    FAILS(unlink("tree"), EISDIR);
    FAILS(rmdir("tree/leaf"), ENOTDIR);
    int names = 0, tree = open("tree", O_RDONLY | O_DIRECTORY);
    DIR *listing = fdopendir(tree);
    assert(listing != NULL);
    for (struct dirent *entry; (entry = readdir(listing)) != NULL;) {
        if (entry->d_name[0] == '.')
            continue;
        struct stat attributes;
        assert(fstatat(tree, entry->d_name, &attributes, AT_SYMLINK_NOFOLLOW) == 0);
        assert(attributes.st_ino == entry->d_ino);
        assert(S_ISDIR(attributes.st_mode) == (entry->d_type == DT_DIR));
        names++;
    }
    assert(names == 2);
    assert(closedir(listing) == 0);
    assert(rename("tree/leaf", "tree/branch/leaf") == 0);
    FAILS(rename("tree", "tree/branch/inside"), EINVAL);
    assert(unlink("tree/branch/leaf") == 0);
    assert(rmdir("tree/branch") == 0);
    assert(rmdir("tree") == 0);
    FAILS(access("tree", F_OK), ENOENT);
}

static void links(void) {
    struct stat attributes;
    assert(link("text", "second") == 0);
    assert(stat("second", &attributes) == 0 && attributes.st_nlink == 2);
    assert(symlink("second", "soft") == 0);
    char text[16] = {0};
    assert(readlink("soft", text, sizeof text) == 6 && strcmp(text, "second") == 0);
    assert(lstat("soft", &attributes) == 0 && S_ISLNK(attributes.st_mode));
    assert(stat("soft", &attributes) == 0 && S_ISREG(attributes.st_mode));
    FAILS(open("soft", O_RDONLY | O_NOFOLLOW), ELOOP);
    assert(unlink("second") == 0);
    FAILS(open("soft", O_RDONLY), ENOENT);
    assert(symlink("loop", "loop") == 0);
    FAILS(open("loop", O_RDONLY), ELOOP);
    FAILS(open("../outside", O_RDONLY), EPERM);
    struct timespec times[2] = {{0, UTIME_OMIT}, {1000000000, 5}};
    assert(utimensat(AT_FDCWD, "text", times, 0) == 0);
    assert(stat("text", &attributes) == 0);
    assert(attributes.st_mtim.tv_sec == 1000000000 && attributes.st_mtim.tv_nsec == 5);
}

int main(void) {
    streams();
    descriptors();
    directories();
    links();
    puts("all is well");
    return 0;
}
