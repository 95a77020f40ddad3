"""Mistakes that tests must notice: name -> edits (file, text that occurs exactly once, what stands there instead)."""

SCAN, PHASES, COPY = (f"models/kernel/collapse_{part}.cc" for part in ("scan", "phases", "copy"))
DAEMON, RULES = "models/kernel/khugepaged.cc", "models/kernel/rules.h"
SLOTS = "models/kernel/khugepaged_slots.cc"

MUTATIONS = {
    "max_ptes_none compared with >=": [
        (SCAN, "++counts.none_or_zero > limits.none", "++counts.none_or_zero >= limits.none")],
    "max_ptes_swap compared with >=": [
        (SCAN, "++counts.unmapped > limits.swap", "++counts.unmapped >= limits.swap")],
    "max_ptes_shared compared with >=": [
        (SCAN, "++counts.shared > limits.shared", "++counts.shared >= limits.shared")],
    "zero-page PTEs not counted as none": [
        (SCAN, "if (pte.none() || pte.zero_page()) {", "if (pte.zero_page()) {\n    } else if (pte.none()) {"),
        (PHASES, "if (pte.none() || pte.zero_page()) {", "if (pte.zero_page()) continue;\n    if (pte.none()) {")],
    "255 instead of 256 referenced with swap": [
        (SCAN, "kReferencedWithSwap = kHugePages / 2;", "kReferencedWithSwap = kHugePages / 2 - 1;")],
    "swapped test after referenced test": [
        (SCAN, "if (++counts.unmapped > limits.swap) return ScanResult::EXCEED_SWAP_PTE;", "++counts.unmapped;"),
        (SCAN, "return ScanResult::LACK_REFERENCED_PAGE;\n",
         "return ScanResult::LACK_REFERENCED_PAGE;\n  if (seen.unmapped > limits.swap) return ScanResult::EXCEED_SWAP_PTE;\n")],
    "cursor not advanced after a failure": [
        (DAEMON, "  scan_.address += kHugeBytes;\n  progress_ += progress_of_range();\n",
         "  if (request_.result == ScanResult::SUCCEED) scan_.address += kHugeBytes;\n"
         "  progress_ += progress_of_range();\n")],
    "a new mm at the head of the list": [
        (SLOTS, "scan_.mm_head.insert(scan_.mm_head.end(), MmSlot{&mm})", "scan_.mm_head.insert(scan_.mm_head.begin(), MmSlot{&mm})")],
    "full_scans counted per process": [
        (DAEMON, "stats().full_scans += scan_.mm_slot == nullptr;", "++stats().full_scans;")],
    "an ineligible VMA free of budget": [
        (DAEMON, "++progress_, ++skipped;", "++skipped;")],
    "an attempt that does not end the visit": [
        (DAEMON, "if (request_.mmap_lock_dropped) holds_mmap_lock_ = false;",
         "if (request_.mmap_lock_dropped) holds_mmap_lock_ = scan_.mm_slot->mm->mmap_lock().try_read();"),
        (DAEMON, "if (request_.mmap_lock_dropped || progress_ >= budget_)", "if (!holds_mmap_lock_ || progress_ >= budget_)")],
    "PAGE_RO dropped on 6.1": [
        (RULES, "v6_1.needs_writable_pte = true;", "v6_1.needs_writable_pte = false;"),
        (RULES, 'v6_12.version = "6.12";', 'v6_12.version = "6.12";\n  v6_12.needs_writable_pte = true;')],
    "a thp-disabled mm walked on 6.12": [
        (RULES, "v6_12.skips_disabled_mm = true;", "v6_12.skips_disabled_mm = false;")],
    "MADV_COLLAPSE obeying max_ptes_none": [
        (SCAN, "if (owner != LockOwner::khugepaged) return {.none = is_armed ? 0 : std::uint32_t(kHugePages)};",
         "if (owner != LockOwner::khugepaged)\n"
         "    return {.none = is_armed ? 0 : std::uint32_t(kernel_.config.khugepaged.max_ptes_none)};")],
    "young bits cleared by the scan": [
        (SCAN, "return scan_ptes(mm.table().pte_table(base), limits_of(owner, mm, base), counts);",
         "const ScanResult result = scan_ptes(mm.table().pte_table(base), limits_of(owner, mm, base), counts);\n"
         "  for (Pte& pte : mm.table().pte_table(base))\n"
         "    if (pte.present()) pte.clear(Pte::kAccessed);\n"
         "  return result;")],
    "none PTEs not added to RSS": [
        (COPY, "  mm().add_anon(1);\n", "  if (maps_page(old)) mm().add_anon(1);\n")],
    "page table not restored after a failed isolate": [
        (PHASES, "  mm().table().attach_pte_table(request->base, table);\n", "")],
}
