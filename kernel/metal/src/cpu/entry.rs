//! Entry stubs: how exceptions and interrupts reach Rust.
//!
//! Compiled code uses the red zone and SSE (D11), so every gate switches to an IST stack, and the
//! stub saves all general registers and the sixteen XMM registers before it clears the direction
//! flag and calls Rust. The calling convention leaves the control words alone and nothing compiled
//! for this target uses x87 state, so neither is saved (in emulation FXSAVE costs far more than
//! sixteen plain stores).

use core::arch::global_asm;

/// Vectors of processor exceptions (Intel SDM volume 3, table 6-1).
pub const DOUBLE_FAULT: u8 = 8;
/// Non-maskable interrupt.
pub const NMI: u8 = 2;
/// Machine check.
pub const MACHINE_CHECK: u8 = 18;
/// Page fault.
pub const PAGE_FAULT: u8 = 14;
/// Vectors 0 to 31 are exceptions.
pub const EXCEPTIONS: usize = 32;
/// First vector that interrupts may use.
pub const FIRST_INTERRUPT: u8 = 32;
/// Number of vectors that interrupts may use.
pub const INTERRUPTS: usize = 64;
/// Bytes from one stub to the next.
const STUB_BYTES: u64 = 16;

/// What an entry found: the saved registers, in the order the stub pushes them.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct TrapFrame {
    /// General registers.
    pub r15: u64,
    pub r14: u64,
    pub r13: u64,
    pub r12: u64,
    pub r11: u64,
    pub r10: u64,
    pub r9: u64,
    pub r8: u64,
    pub rbp: u64,
    pub rdi: u64,
    pub rsi: u64,
    pub rdx: u64,
    pub rcx: u64,
    pub rbx: u64,
    pub rax: u64,
    /// Number of the exception or interrupt.
    pub vector: u64,
    /// The processor's error code, zero for vectors without one.
    pub error_code: u64,
    /// Where it happened.
    pub rip: u64,
    pub cs: u64,
    pub rflags: u64,
    pub rsp: u64,
    pub ss: u64,
}

unsafe extern "C" {
    static entry_stubs: u8;
    fn entry_ignore();
}

/// Address of the stub of `vector`; vectors without one go where interrupts are ignored.
pub fn stub_address(vector: u8) -> u64 {
    if usize::from(vector) < EXCEPTIONS + INTERRUPTS {
        &raw const entry_stubs as u64 + u64::from(vector) * STUB_BYTES
    } else {
        entry_ignore as *const () as u64
    }
}

// Vectors 8, 10-14, 17, 21, 29 and 30 push an error code (SDM volume 3, table 6-1); the others get
// a zero in its place.
global_asm!(
    r#"
    .section .text.entry, "ax", @progbits
    .p2align 4
    entry_stubs:
    .irp vector, 0, 1, 2, 3, 4, 5, 6, 7
        push 0
        push \vector
        jmp entry_exception
        .p2align 4
    .endr
        push 8
        jmp entry_exception
        .p2align 4
        push 0
        push 9
        jmp entry_exception
        .p2align 4
    .irp vector, 10, 11, 12, 13, 14
        push \vector
        jmp entry_exception
        .p2align 4
    .endr
    .irp vector, 15, 16
        push 0
        push \vector
        jmp entry_exception
        .p2align 4
    .endr
        push 17
        jmp entry_exception
        .p2align 4
    .irp vector, 18, 19, 20
        push 0
        push \vector
        jmp entry_exception
        .p2align 4
    .endr
        push 21
        jmp entry_exception
        .p2align 4
    .irp vector, 22, 23, 24, 25, 26, 27, 28
        push 0
        push \vector
        jmp entry_exception
        .p2align 4
    .endr
    .irp vector, 29, 30
        push \vector
        jmp entry_exception
        .p2align 4
    .endr
        push 0
        push 31
        jmp entry_exception
        .p2align 4
    .irp high, 2, 3, 4, 5
    .irp low, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, a, b, c, d, e, f
        push 0
        push 0x\high\low
        jmp entry_interrupt
        .p2align 4
    .endr
    .endr

    .global entry_ignore
    entry_ignore:
        iretq

    .macro ENTER handler
        push rax
        push rbx
        push rcx
        push rdx
        push rsi
        push rdi
        push rbp
        push r8
        push r9
        push r10
        push r11
        push r12
        push r13
        push r14
        push r15
        cld
        mov rdi, rsp
        mov rbp, rsp
        sub rsp, 256
        and rsp, -16
        movaps [rsp], xmm0
        movaps [rsp + 16], xmm1
        movaps [rsp + 32], xmm2
        movaps [rsp + 48], xmm3
        movaps [rsp + 64], xmm4
        movaps [rsp + 80], xmm5
        movaps [rsp + 96], xmm6
        movaps [rsp + 112], xmm7
        movaps [rsp + 128], xmm8
        movaps [rsp + 144], xmm9
        movaps [rsp + 160], xmm10
        movaps [rsp + 176], xmm11
        movaps [rsp + 192], xmm12
        movaps [rsp + 208], xmm13
        movaps [rsp + 224], xmm14
        movaps [rsp + 240], xmm15
        call \handler
        movaps xmm0, [rsp]
        movaps xmm1, [rsp + 16]
        movaps xmm2, [rsp + 32]
        movaps xmm3, [rsp + 48]
        movaps xmm4, [rsp + 64]
        movaps xmm5, [rsp + 80]
        movaps xmm6, [rsp + 96]
        movaps xmm7, [rsp + 112]
        movaps xmm8, [rsp + 128]
        movaps xmm9, [rsp + 144]
        movaps xmm10, [rsp + 160]
        movaps xmm11, [rsp + 176]
        movaps xmm12, [rsp + 192]
        movaps xmm13, [rsp + 208]
        movaps xmm14, [rsp + 224]
        movaps xmm15, [rsp + 240]
        mov rsp, rbp
        pop r15
        pop r14
        pop r13
        pop r12
        pop r11
        pop r10
        pop r9
        pop r8
        pop rbp
        pop rdi
        pop rsi
        pop rdx
        pop rcx
        pop rbx
        pop rax
        add rsp, 16
        iretq
    .endm

    .p2align 4
    entry_exception:
        ENTER {exception}
    .p2align 4
    entry_interrupt:
        ENTER {interrupt}
    "#,
    exception = sym super::exception::on_exception,
    interrupt = sym super::irq::on_interrupt,
);
