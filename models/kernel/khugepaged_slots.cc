// Who is in khugepaged's list: khugepaged.md 1.2, 1.3.
#include "models/kernel/khugepaged.h"
#include "models/kernel/observer.h"

namespace collapsar {

void Khugepaged::enter_vma(AddressSpace& mm, const Vma& vma) {
  if (mm.registered || !thp_on()) return;
  if (thp_vma_allowable(kernel_, mm, vma, /*enforce_sysfs=*/true, /*in_fault=*/false)) enter(mm);
}

void Khugepaged::fork(AddressSpace& parent, AddressSpace& child) {
  if (parent.registered && !child.registered) enter(child);
}

// __khugepaged_enter: at the tail; the daemon is woken only if the list had been empty. That ends a wait for work and
// an allocation sleep, not the sleep between scans.
void Khugepaged::enter(AddressSpace& mm) {
  const bool was_empty = scan_.mm_head.empty();
  mm.registered = true;
  mm_slots_hash_[mm.asid()] = scan_.mm_head.insert(scan_.mm_head.end(), MmSlot{&mm});
  if (kernel_.observer) kernel_.observer->entered(mm);
  if (!was_empty) return;
  if (state_ == State::no_work) wake_now();
  if (state_ == State::alloc_sleep) kernel_.queue.reschedule(alloc_slept_event_, kernel_.queue.now());
}

// __khugepaged_exit: the slot under the cursor is left to the daemon.
void Khugepaged::exit(AddressSpace& mm) {
  if (!mm.registered) return;
  if (kernel_.observer) kernel_.observer->left(mm);
  if (scan_.mm_slot && scan_.mm_slot->mm == &mm) return;
  remove_slot(mm);
}

// khugepaged_add_pte_mapped_thp
bool Khugepaged::add_pte_mapped(AddressSpace& mm, VirtAddr base) {
  const auto slot = mm_slots_hash_.find(mm.asid());
  if (slot == mm_slots_hash_.end() || slot->second->pte_mapped_thp.size() == kMostPteMapped) return false;
  slot.value()->pte_mapped_thp.push_back(base);
  return true;
}

void Khugepaged::remove_slot(AddressSpace& mm) {
  const auto slot = mm_slots_hash_.find(mm.asid());
  SIM_ASSERT(slot != mm_slots_hash_.end(), "address space {} is registered but has no slot", mm.asid());
  scan_.mm_head.erase(slot->second);
  mm_slots_hash_.erase(slot);
  mm.registered = false;
}

}  // namespace collapsar
