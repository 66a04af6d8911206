//! The PVH entry point: 32-bit protected mode, paging off, `ebx` = physical address of the start
//! info (Xen's `docs/misc/pvh.pandoc`, section "direct boot"); ends in `kernel_main` in long mode.
//!
//! The first page tables show the first GiB of physical memory twice, at its own address and at the
//! start of the direct map, with 2 MiB pages. `mem::paging` replaces them.

use core::arch::global_asm;

// The note by which a loader finds the entry point: XEN_ELFNOTE_PHYS32_ENTRY = 18
// (Xen, public/elfnote.h).
global_asm!(
    r#"
    .section .note.pvh, "a", @note
    .align 4
    .long 4
    .long 4
    .long 18
    .asciz "Xen"
    .long pvh_start
    "#
);

// Flags below: Intel SDM volume 3, 2.5 (CR0, CR4), 2.2.1 (EFER), 4.5 (table entries).
global_asm!(
    r#"
    .section .bss.boot_tables, "aw", @nobits
    .align 4096
    boot_pml4: .skip 4096
    boot_pdpt: .skip 4096
    boot_pd:   .skip 4096

    .section .rodata.boot, "a", @progbits
    .align 8
    boot_gdt:
        .quad 0
        .quad 0x00af9b000000ffff        // 0x08: 64-bit code
        .quad 0x00cf93000000ffff        // 0x10: data
    boot_gdt_pointer:
        .word 23
        .long boot_gdt

    .section .text.boot, "ax", @progbits
    .code32
    .global pvh_start
    pvh_start:
        cld
        mov esp, offset {stacks} + {main_stack_top}
        mov edi, ebx

        // Tables: present and writable = 3, with 2 MiB pages = 0x83.
        mov eax, offset boot_pdpt + 3
        mov dword ptr [boot_pml4], eax
        mov dword ptr [boot_pml4 + 256 * 8], eax
        mov eax, offset boot_pd + 3
        mov dword ptr [boot_pdpt], eax
        mov eax, 0x83
        xor ecx, ecx
    2:  mov dword ptr [boot_pd + ecx * 8], eax
        add eax, 0x200000
        inc ecx
        cmp ecx, 512
        jne 2b

        mov eax, offset boot_pml4
        mov cr3, eax
        mov eax, 0x620                  // PAE, OSFXSR, OSXMMEXCPT
        mov cr4, eax
        mov ecx, 0xc0000080             // EFER
        rdmsr
        or eax, 0x900                   // LME, NXE
        wrmsr
        mov eax, 0x80010023             // PG, WP, NE, MP, PE
        mov cr0, eax

        lgdt [boot_gdt_pointer]
        push 0x08
        mov eax, offset long_start
        push eax
        retf

    .code64
    long_start:
        mov eax, 0x10
        mov ss, eax
        mov ds, eax
        mov es, eax
        xor eax, eax
        mov fs, eax
        mov gs, eax
        mov rsp, offset {stacks} + {main_stack_top}
        xor ebp, ebp
        mov edi, edi
        call {kernel_main}
        ud2
    "#,
    stacks = sym crate::cpu::stacks::STACKS,
    main_stack_top = const crate::cpu::stacks::MAIN_STACK_TOP_OFFSET,
    kernel_main = sym crate::kernel_main,
);
