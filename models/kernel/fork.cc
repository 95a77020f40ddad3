// MemoryCalls: fork, exec, exit.
#include <algorithm>

#include "models/kernel/huge_zero_page.h"
#include "models/kernel/memory_calls.h"
#include "models/kernel/memory_calls_bits.h"

namespace collapsar {

// dup_mmap. The order of khugepaged_fork (6.1: before the copy, 6.12: after it) shows only where a fork fails, which
// ends the run here.
void MemoryCalls::fork(SyscallRequest& request, AddressSpace& mm, SyscallEffect& effect) {
  const Process& parent = processes_.of(request.task);
  Process& process =
      processes_.create(std::uint32_t(request.value), request.name.empty() ? parent.name : mapping_name(request.name));
  AddressSpace& child = *process.mm;
  copy_image(mm, child);
  rmap_.fork_anon_vmas(mm, child);
  std::uint64_t copied = 0;
  for (auto& [start, vma] : mm.vmas())
    if (!rmap_.copy_range(mm, child, vma, &copied)) reclaim_.out_of_memory(child.pid(), 1);
  khugepaged_.fork(mm, child);
  request.new_task = processes_.new_task(process);
  if (copied > 0) add_flush(effect, mm.user_range());
}

void MemoryCalls::copy_image(AddressSpace& parent, AddressSpace& child) {
  child.heap_room = parent.heap_room;
  child.stack_room = parent.stack_room;
  child.brk = parent.brk;
  child.memcg = parent.memcg;
  child.thp = parent.thp;
  for (const Mapping& mapping : parent.mappings()) child.mappings().push_back({.name = mapping.name});
  for (const auto& [start, vma] : parent.vmas()) {
    Vma copy = vma;
    copy.flags &= ~std::uint32_t(Vma::kLocked | Vma::kUffd);  // not inherited
    copy.write_locked = false;
    copy.fault_readers = 0;
    child.insert(copy);
    if (copy.file != 0) kernel_.page_cache->add_user(copy.file, child);
  }
}

void MemoryCalls::exec(const SyscallRequest& request, AddressSpace& mm) {
  Process& process = processes_.of(request.task);
  process.mm = &processes_.new_address_space(process.pid);
  process.mm->memcg = mm.memcg;
  process.mm->thp = mm.thp;
  if (!request.name.empty()) process.name = mapping_name(request.name);
  tear_down(mm, request.cpu);
}

// mmput: from here on khugepaged turns away from the address space; a collapse under way gives up at its next look.
void MemoryCalls::leave(AddressSpace& mm) {
  mm.set_exited();
  khugepaged_.exit(mm);
}

// exit_mmap.
void MemoryCalls::tear_down(AddressSpace& mm, CpuId cpu) {
  reclaim_.batches().drain(cpu);
  std::vector<FileId> shmem;
  for (const auto& [start, vma] : mm.vmas())
    if (PageCache::is_shmem(vma.file) && !std::ranges::count(shmem, vma.file)) shmem.push_back(vma.file);
  const VirtRange all = mm.user_range();
  rmap_.zap_range(mm, all);
  mm.remove(all);
  mm.table().free_tables(all, VirtAddr{0}, VirtAddr{0});
  rmap_.forget(mm);
  kernel_.shootdown.forget(mm.asid());
  for (const FileId file : shmem) rmap_.drop_shmem_file(file);
  kernel_.huge_zero->put(mm);
}

}  // namespace collapsar
