/* CRC-32 (ISO/HDLC, as in zlib and Ethernet) as a library module: its state stays between calls, and no C
 * library is needed. `crc32.wat` beside this file is the same by hand, for machines without clang. */
#include <stdint.h>

#define EXPORT(name) __attribute__((export_name(#name)))

static uint32_t table[256];
static uint32_t sum;

/* The kernel calls it before anything that imports from this module runs. */
EXPORT(_initialize) void initialize(void) {
    for (uint32_t byte = 0; byte < 256; byte++) {
        uint32_t value = byte;
        for (int bit = 0; bit < 8; bit++)
            value = value & 1 ? 0xEDB88320u ^ (value >> 1) : value >> 1;
        table[byte] = value;
    }
}

EXPORT(begin) void begin(void) { sum = 0xFFFFFFFFu; }

EXPORT(take) void take(uint64_t word, uint32_t bytes) {
    for (; bytes > 0; bytes--, word >>= 8)
        sum = table[(sum ^ word) & 0xFF] ^ (sum >> 8);
}

EXPORT(end) uint32_t end(void) { return ~sum; }
