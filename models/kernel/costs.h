// KernelCosts: what each kernel step costs, one named key each, with its source.
//
// Source:      [X] measured on Zen 5 at 3.9 GHz (hardware.md 4.1); [D] derived from such a line; [S] secondary; [M] a
//              guess to be replaced by a measurement. The split of a collapse follows the design's section 9: its one
//              measured line is 121 us + 0.735 us per present page.
#pragma once

#include "sim/core/config.h"
#include "sim/core/units.h"

namespace collapsar {

struct KernelCosts {
  using ns = std::chrono::nanoseconds;
  using us = std::chrono::microseconds;
  // faults
  Duration fault_entry = ns(300);  // [D] exception entry and exit, VMA look-up: of the 0.74 us zero-page read fault [X]
  Duration fault_zero_page = ns(440);  // [D] 0.74 us - entry
  Duration fault_anon = ns(716);  // [D] 1.19 us - entry - clear of one page (0.174 us): allocation, charge, rmap, PTE
  Duration fault_file = ns(600);  // [M] page-cache look-up and mapping of a cached page
  Duration file_read = us(46);    // [S] 4 KiB from the file system's device into the page cache: 990 PRO mean 45.7 us
  // [D] 4 KiB to that device: 990 PRO mean 12.9 us (swap_device.cc)
  Duration file_write = ns(12'900);
  Duration fault_cow = ns(716);   // [D] as fault_anon; the copy itself is copy_page
  Duration fault_swap = ns(900);  // [M] swap-cache look-up, allocation, rmap; the device's time comes on top
  Duration fault_huge =
      us(2);  // [D] 89 us - entry - clear of 512 pages (0.174 us each): 2M allocation and mapping, rounded
  Duration fault_spurious = ns(100);  // [M] another CPU was faster: nothing left to do
  // moving memory
  Duration clear_page = ns(174);  // [D] design 9: 89 us / 512, 23.5 GB/s
  Duration copy_page = ns(209);   // [D] memcpy of 2 MiB in 107 us / 512
  // khugepaged and collapse
  Duration scan_pte = ns(110);  // [X] 56 us per 2 MiB range, cold struct pages
  Duration scan_vma = ns(100);  // [M] one VMA looked at
  Duration scan_mm = us(1);     // [M] one process taken up (lock, find VMA)
  // (the constant 32 us of the design's split = alloc + lock + flush + commit)
  Duration collapse_alloc = us(10);   // [D] part of the constant: order-9 allocation and charge
  Duration collapse_lock = us(2);     // [D] part: mmap_lock, VMA re-validation, anon_vma lock
  Duration collapse_flush = us(10);   // [D] part: PMD clear, local flush, table sync
  Duration collapse_commit = us(10);  // [D] part: PMD install, deposit, rmap, LRU
  Duration isolate_page = ns(350);    // [D] half of 0.70 us per present page: trylock, refcount, LRU isolate
  Duration release_page = ns(350);    // [D] other half: PTE clear, rmap, free
  Duration retract_table = us(2);     // [M] emptying one page table of a file mapping, without its flush
  // system calls
  Duration syscall_entry = ns(200);  // [M] entry, exit, argument checks
  Duration vma_change = ns(800);     // [D] mprotect of one page 1.9 us [X] less entry and flush
  Duration zap_page = ns(300);       // [X] MADV_DONTNEED 0.30-0.32 us per page
  Duration zap_huge = ns(6500);      // [X] MADV_DONTNEED 6-7 us per 2 MiB page
  Duration protect_pte = ns(20);     // [M] one PTE rewritten by mprotect or fork
  Duration fork_mm = us(60);         // [M] fork without its page tables
  Duration fork_pte = ns(25);        // [M] one PTE copied by fork
  Duration exec_mm = us(300);        // [M] exec without faults
  Duration split_pmd = us(3);        // [M] 512 PTE writes and a flush
  Duration split_folio = us(30);     // [M] unmap, 512 struct pages, remap
  // flushes, interrupts, scheduling
  Duration flush_page = ns(50);        // [M] INVLPG 100-250 cycles
  Duration flush_full = ns(200);       // [M] write of CR3
  Duration ipi_first = ns(930);        // [X] one remote CPU: +0.93 us
  Duration ipi_more = ns(200);         // [S] each further receiver
  Duration ipi_receive = ns(700);      // [M] lost by a receiver: 0.5-1 us
  Duration context_switch = ns(1500);  // [D] pipe ping-pong 3.6 us one way less two system calls and the wake-up
  // compaction
  Duration compact_scan = ns(11);    // [X] 2.09 M frames in 19.5 to 27 ms (hardware.md 4.1)
  Duration migrate_page = ns(3500);  // [D] 3.7 us a page moved [X] (hardware.md 4.1) less copy_page
  // reclaim
  Duration reclaim_page = ns(500);    // [M] one page looked at by reclaim: rmap walk, young bit
  Duration swap_out_page = ns(1000);  // [M] slot, unmap, submit
  template <class V>
  void describe(V& v) {
    v("fault_entry", fault_entry, "exception entry and exit, VMA look-up");
    v("fault_zero_page", fault_zero_page, "mapping the zero page");
    v("fault_anon", fault_anon, "allocating and mapping a 4 KiB page, without clearing it");
    v("fault_file", fault_file, "mapping a page that is in the page cache");
    v("file_read", file_read, "reading a 4 KiB page into the page cache");
    v("file_write", file_write, "writing a 4 KiB page of the page cache back");
    v("fault_cow", fault_cow, "allocating and mapping the copy, without copying");
    v("fault_swap", fault_swap, "swap-in, without the device's time");
    v("fault_huge", fault_huge, "allocating and mapping a 2 MiB page, without clearing it");
    v("fault_spurious", fault_spurious, "a fault that finds its page mapped");
    v("clear_page", clear_page, "clearing 4 KiB");
    v("copy_page", copy_page, "copying 4 KiB");
    v("scan_pte", scan_pte, "khugepaged: one PTE and its struct page");
    v("scan_vma", scan_vma, "khugepaged: one VMA");
    v("scan_mm", scan_mm, "khugepaged: taking up one process");
    v("collapse_alloc", collapse_alloc, "collapse: order-9 allocation and charge");
    v("collapse_lock", collapse_lock, "collapse: locks and revalidation");
    v("collapse_flush", collapse_flush, "collapse: clearing the PMD and the local flush");
    v("collapse_commit", collapse_commit, "collapse: installing the huge PMD");
    v("isolate_page", isolate_page, "collapse: isolating one present page");
    v("release_page", release_page, "collapse: releasing one present page");
    v("retract_table", retract_table, "collapse of a file: emptying one page table");
    v("syscall_entry", syscall_entry, "system call entry and exit");
    v("vma_change", vma_change, "changing the VMA tree");
    v("zap_page", zap_page, "unmapping and freeing a 4 KiB page");
    v("zap_huge", zap_huge, "unmapping and freeing a 2 MiB page");
    v("protect_pte", protect_pte, "rewriting a PTE");
    v("fork_mm", fork_mm, "fork without its page tables");
    v("fork_pte", fork_pte, "copying a PTE at fork");
    v("exec_mm", exec_mm, "exec without faults");
    v("split_pmd", split_pmd, "splitting a huge PMD");
    v("split_folio", split_folio, "splitting a 2 MiB page into 512 pages");
    v("flush_page", flush_page, "invalidating one page in the local TLB");
    v("flush_full", flush_full, "flushing an address space from the local TLB");
    v("ipi_first", ipi_first, "waiting for the first remote CPU of a shootdown");
    v("ipi_more", ipi_more, "waiting for each further one");
    v("ipi_receive", ipi_receive, "lost by each receiver");
    v("context_switch", context_switch, "switching threads on a CPU");
    v("compact_scan", compact_scan, "compaction looking at one frame");
    v("migrate_page", migrate_page, "compaction: unmapping one page and mapping it again, without copy and flush");
    v("reclaim_page", reclaim_page, "reclaim looking at one page");
    v("swap_out_page", swap_out_page, "unmapping one page and submitting its write");
  }
};

}  // namespace collapsar
