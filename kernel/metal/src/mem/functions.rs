//! `memcpy`, `memmove`, `memset`, `memcmp` and `bcmp`, which compiled code calls by name.
//!
//! They are in assembly, as a compiler turns a loop that copies into a call of `memcpy`, and made
//! of plain unaligned moves: in QEMU's emulation `rep movsb` takes 34 times as long (D11). Up to 64 bytes
//! are moved 16 at a time, so that everything is read before anything is written. Beyond that the loops
//! move 8 at a time, which QEMU 7.2 does in a third of the time, and a real processor as soon as its
//! memory gives and takes them; one end stays in registers, so that a loop needs no tail. All follow the
//! System V calling convention.

use core::arch::global_asm;

// rdi = destination, rsi = source, rdx = bytes; returns the destination.
global_asm!(
    r#"
    .section .text.memory_copy, "ax", @progbits
    .global memcpy
    .global memmove
    .p2align 5
    memcpy:
    memmove:
        mov rax, rdi
        cmp rdx, 16
        jb 20f
        cmp rdx, 32
        ja 10f
        movups xmm0, [rsi]
        movups xmm1, [rsi + rdx - 16]
        movups [rdi], xmm0
        movups [rdi + rdx - 16], xmm1
        ret

    10: cmp rdx, 64
        ja 30f
        movups xmm0, [rsi]
        movups xmm1, [rsi + 16]
        movups xmm2, [rsi + rdx - 32]
        movups xmm3, [rsi + rdx - 16]
        movups [rdi], xmm0
        movups [rdi + 16], xmm1
        movups [rdi + rdx - 32], xmm2
        movups [rdi + rdx - 16], xmm3
        ret

    20: cmp edx, 8
        jb 21f
        mov rcx, [rsi]
        mov r8, [rsi + rdx - 8]
        mov [rdi], rcx
        mov [rdi + rdx - 8], r8
        ret
    21: cmp edx, 4
        jb 22f
        mov ecx, [rsi]
        mov r8d, [rsi + rdx - 4]
        mov [rdi], ecx
        mov [rdi + rdx - 4], r8d
        ret
    22: test edx, edx
        jz 23f
        movzx ecx, byte ptr [rsi]
        movzx r8d, byte ptr [rsi + rdx - 1]
        cmp edx, 3
        jne 24f
        movzx r9d, byte ptr [rsi + 1]
        mov [rdi + 1], r9b
    24: mov [rdi], cl
        mov [rdi + rdx - 1], r8b
    23: ret

        // Above 64 bytes. Backwards only where going forwards would overwrite the source.
    30: mov rcx, rdi
        sub rcx, rsi
        cmp rcx, rdx
        jb 40f
        lea r8, [rdi + rdx - 64]
        movups xmm4, [rsi + rdx - 64]
        movups xmm5, [rsi + rdx - 48]
        movups xmm6, [rsi + rdx - 32]
        movups xmm7, [rsi + rdx - 16]
    31: mov rcx, [rsi]
        mov rdx, [rsi + 8]
        mov r9, [rsi + 16]
        mov r10, [rsi + 24]
        mov [rdi], rcx
        mov [rdi + 8], rdx
        mov [rdi + 16], r9
        mov [rdi + 24], r10
        mov rcx, [rsi + 32]
        mov rdx, [rsi + 40]
        mov r9, [rsi + 48]
        mov r10, [rsi + 56]
        mov [rdi + 32], rcx
        mov [rdi + 40], rdx
        mov [rdi + 48], r9
        mov [rdi + 56], r10
        add rsi, 64
        add rdi, 64
        cmp rdi, r8
        jb 31b
        movups [r8], xmm4
        movups [r8 + 16], xmm5
        movups [r8 + 32], xmm6
        movups [r8 + 48], xmm7
        ret

    40: movups xmm4, [rsi]
        movups xmm5, [rsi + 16]
        movups xmm6, [rsi + 32]
        movups xmm7, [rsi + 48]
    41: mov rcx, [rsi + rdx - 32]
        mov r8, [rsi + rdx - 24]
        mov r9, [rsi + rdx - 16]
        mov r10, [rsi + rdx - 8]
        mov [rdi + rdx - 32], rcx
        mov [rdi + rdx - 24], r8
        mov [rdi + rdx - 16], r9
        mov [rdi + rdx - 8], r10
        mov rcx, [rsi + rdx - 64]
        mov r8, [rsi + rdx - 56]
        mov r9, [rsi + rdx - 48]
        mov r10, [rsi + rdx - 40]
        mov [rdi + rdx - 64], rcx
        mov [rdi + rdx - 56], r8
        mov [rdi + rdx - 48], r9
        mov [rdi + rdx - 40], r10
        sub rdx, 64
        cmp rdx, 64
        ja 41b
        movups [rdi], xmm4
        movups [rdi + 16], xmm5
        movups [rdi + 32], xmm6
        movups [rdi + 48], xmm7
        ret
    "#
);

// rdi = destination, sil = byte, rdx = bytes; returns the destination.
global_asm!(
    r#"
    .section .text.memory_set, "ax", @progbits
    .global memset
    .p2align 5
    memset:
        mov rax, rdi
        movzx ecx, sil
        mov r8, 0x0101010101010101
        imul rcx, r8
        cmp rdx, 16
        jb 20f
        movq xmm0, rcx
        punpcklqdq xmm0, xmm0
        cmp rdx, 64
        ja 30f
        movups [rdi], xmm0
        movups [rdi + rdx - 16], xmm0
        cmp rdx, 32
        jbe 10f
        movups [rdi + 16], xmm0
        movups [rdi + rdx - 32], xmm0
    10: ret

    20: cmp edx, 8
        jb 21f
        mov [rdi], rcx
        mov [rdi + rdx - 8], rcx
        ret
    21: cmp edx, 4
        jb 22f
        mov [rdi], ecx
        mov [rdi + rdx - 4], ecx
        ret
    22: test edx, edx
        jz 23f
        mov [rdi], cl
        mov [rdi + rdx - 1], cl
        shr edx, 1
        mov [rdi + rdx], cl
    23: ret

    30: lea r8, [rdi + rdx - 64]
    31: mov [rdi], rcx
        mov [rdi + 8], rcx
        mov [rdi + 16], rcx
        mov [rdi + 24], rcx
        mov [rdi + 32], rcx
        mov [rdi + 40], rcx
        mov [rdi + 48], rcx
        mov [rdi + 56], rcx
        add rdi, 64
        cmp rdi, r8
        jb 31b
        movups [r8], xmm0
        movups [r8 + 16], xmm0
        movups [r8 + 32], xmm0
        movups [r8 + 48], xmm0
        ret
    "#
);

// rdi, rsi = what to compare, rdx = bytes; returns the difference of the first bytes that differ.
global_asm!(
    r#"
    .section .text.memory_compare, "ax", @progbits
    .global memcmp
    .global bcmp
    .p2align 5
    memcmp:
    bcmp:
        cmp rdx, 16
        jb 20f
    10: movups xmm0, [rdi]
        movups xmm1, [rsi]
        pcmpeqb xmm0, xmm1
        pmovmskb eax, xmm0
        sub eax, 0xffff
        jnz 30f
        add rdi, 16
        add rsi, 16
        sub rdx, 16
        cmp rdx, 16
        jae 10b
    20: test edx, edx
        jz 40f
    21: movzx eax, byte ptr [rdi]
        movzx ecx, byte ptr [rsi]
        sub eax, ecx
        jnz 22f
        inc rdi
        inc rsi
        dec edx
        jnz 21b
    22: ret
        // Equal bytes gave ones; after the subtraction the lowest set bit marks the first pair
        // that differs.
    30: bsf ecx, eax
        movzx eax, byte ptr [rdi + rcx]
        movzx edx, byte ptr [rsi + rcx]
        sub eax, edx
        ret
    40: xor eax, eax
        ret
    "#
);

// What the prebuilt `core` and `alloc` name for unwinding, as they are built for programs that do;
// the linker script discards their unwind tables, and a panic here aborts, so nothing ever calls it.
global_asm!(
    r#"
    .section .text.unwinding, "ax", @progbits
    .global rust_eh_personality
    .global _Unwind_Resume
    rust_eh_personality:
    _Unwind_Resume:
        ud2
    "#
);
