// MemoryCalls: what a call costs and which locks it takes, before it changes anything.
#include "models/kernel/memory_calls.h"
#include "models/kernel/memory_calls_bits.h"

namespace collapsar {

namespace {

bool changes_flags(Advice advice) { return advice == Advice::hugepage || advice == Advice::nohugepage; }

bool is_walk(Advice advice) {  // advice that works on page-table entries under mmap_lock for read
  switch (advice) {
    case Advice::willneed:
    case Advice::dontneed:
    case Advice::free:
    case Advice::cold:
    case Advice::pageout: return true;
    case Advice::normal:
    case Advice::random:
    case Advice::sequential:
    case Advice::remove:
    case Advice::dontfork:
    case Advice::dofork:
    case Advice::mergeable:
    case Advice::unmergeable:
    case Advice::hugepage:
    case Advice::nohugepage:
    case Advice::dontdump:
    case Advice::dodump:
    case Advice::wipeonfork:
    case Advice::keeponfork:
    case Advice::populate_read:
    case Advice::populate_write:
    case Advice::collapse: return false;
  }
  return false;
}

}  // namespace

MemoryCalls::LockMode MemoryCalls::lock_mode(const SyscallRequest& request) {
  using Op = SyscallRequest::Op;
  switch (request.op) {
    case Op::mmap:
    case Op::munmap:
    case Op::mprotect:
    case Op::mremap:
    case Op::mlock:
    case Op::munlock:
    case Op::brk:
    case Op::thp_disable:
    case Op::clear_refs:
    case Op::userfaultfd:
    case Op::fork:
    case Op::exec:
    case Op::exit: return LockMode::write;
    case Op::madvise:
      if (changes_flags(Advice(request.advice))) return LockMode::write;
      return is_walk(Advice(request.advice)) ? LockMode::read : LockMode::none;
    case Op::thread:
    case Op::thread_exit:
    case Op::add_vma:
    case Op::stack_room:
    case Op::heap_room: return LockMode::none;
  }
  return LockMode::none;
}

std::vector<VirtRange> MemoryCalls::changed_vmas(const SyscallRequest& request, const AddressSpace& mm) const {
  using Op = SyscallRequest::Op;
  const auto with_neighbours = [](VirtRange r) { return VirtRange{{r.start.value - (r.start.value > 0)}, r.end + 1}; };
  const VirtRange range = with_neighbours(pages_of(request.address, request.length));
  switch (request.op) {
    case Op::mmap:
    case Op::munmap:
    case Op::mprotect:
    case Op::mlock:
    case Op::munlock:
    case Op::userfaultfd: return {range};
    case Op::madvise:
      if (changes_flags(Advice(request.advice))) return {range};
      return {};
    case Op::mremap: return {range, with_neighbours(pages_of(request.new_address, request.new_length))};
    case Op::brk:
      return {
          with_neighbours({std::min(mm.brk, VirtAddr{request.address}), std::max(mm.brk, VirtAddr{request.address})})};
    case Op::fork:
    case Op::exec:
    case Op::exit: return {mm.user_range()};
    case Op::thp_disable:
    case Op::clear_refs:
    case Op::thread:
    case Op::thread_exit:
    case Op::add_vma:
    case Op::stack_room:
    case Op::heap_room: return {};
  }
  return {};
}

MemoryCalls::Entries MemoryCalls::entries(const AddressSpace& mm, VirtRange range) const {
  Entries found;
  mm.table().visit(range, [&](VirtAddr va, Pte&, PageSize size) {
    const VirtRange leaf{va, va + page_bytes(size)};
    if (size != PageSize::k4K && leaf.intersect(range) == leaf) ++found.huge;
    else found.pages += leaf.intersect(range).pages();
  });
  return found;
}

Duration MemoryCalls::zap_cost(const AddressSpace& mm, VirtRange range) const {
  const Entries found = entries(mm, range);
  return kernel_.config.costs.zap_page * std::int64_t(found.pages) +
         kernel_.config.costs.zap_huge * std::int64_t(found.huge);
}

Duration MemoryCalls::rewrite_cost(const AddressSpace& mm, VirtRange range) const {
  const Entries found = entries(mm, range);
  return kernel_.config.costs.protect_pte * std::int64_t(found.pages + found.huge);
}

Duration MemoryCalls::advice_cost(const SyscallRequest& request, const AddressSpace& mm) const {
  const VirtRange range = pages_of(request.address, request.length);
  std::int64_t swapped = 0;
  switch (Advice(request.advice)) {
    case Advice::hugepage:
    case Advice::nohugepage: return kernel_.config.costs.vma_change;
    case Advice::dontneed: return zap_cost(mm, range);
    case Advice::free:
    case Advice::cold:
    case Advice::pageout: return rewrite_cost(mm, range);
    case Advice::willneed:
      mm.table().visit(range, [&](VirtAddr, Pte& e, PageSize) { swapped += e.swap(); });
      return kernel_.config.costs.fault_swap * swapped;
    case Advice::normal:
    case Advice::random:
    case Advice::sequential:
    case Advice::remove:
    case Advice::dontfork:
    case Advice::dofork:
    case Advice::mergeable:
    case Advice::unmergeable:
    case Advice::dontdump:
    case Advice::dodump:
    case Advice::wipeonfork:
    case Advice::keeponfork:
    case Advice::populate_read:
    case Advice::populate_write:
    case Advice::collapse: return {};
  }
  return {};
}

Duration MemoryCalls::cost(const SyscallRequest& request, const AddressSpace& mm) const {
  using Op = SyscallRequest::Op;
  const KernelCosts& costs = kernel_.config.costs;
  const VirtRange range = pages_of(request.address, request.length);
  const VirtRange target = pages_of(request.new_address, request.new_length);
  switch (request.op) {
    case Op::mmap:
    case Op::munmap: return costs.vma_change + zap_cost(mm, range);
    case Op::mprotect:
    case Op::userfaultfd: return costs.vma_change + rewrite_cost(mm, range);
    case Op::mremap:
      if (request.new_address == request.address)
        return costs.vma_change + zap_cost(mm, {std::min(target.end, range.end), range.end});
      return costs.vma_change + zap_cost(mm, target) + rewrite_cost(mm, range);
    case Op::madvise: return advice_cost(request, mm);
    case Op::mlock:
    case Op::munlock: return costs.vma_change;
    case Op::brk:
      return costs.vma_change +
             zap_cost(mm, {align_up(VirtAddr{request.address}, kPageBytes), align_up(mm.brk, kPageBytes)});
    case Op::clear_refs: return rewrite_cost(mm, mm.user_range());
    case Op::fork: {
      std::uint64_t copied = 0;
      for (const auto& [start, vma] : mm.vmas()) {
        if (vma.anon_vma == 0) continue;
        const Entries found = entries(mm, vma.range);
        copied += found.pages + found.huge;
      }
      return costs.fork_mm + costs.fork_pte * std::int64_t(copied);
    }
    case Op::exec: return costs.exec_mm + zap_cost(mm, mm.user_range());
    case Op::exit: return zap_cost(mm, mm.user_range());
    case Op::thp_disable:
    case Op::thread:
    case Op::thread_exit:
    case Op::add_vma:
    case Op::stack_room:
    case Op::heap_room: return {};
  }
  return {};
}

std::uint64_t MemoryCalls::frames_needed(const SyscallRequest& request, const AddressSpace& mm) const {
  return request.op == SyscallRequest::Op::fork ? mm.table().table_pages() : 0;
}

}  // namespace collapsar
