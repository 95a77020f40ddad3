#include "python/bindings_simulation.h"

#include <pybind11/numpy.h>
#include <pybind11/stl.h>

#include <algorithm>

#include "python/answer.h"
#include "python/stepped_run.h"
#include "sim/run/report.h"

namespace py = pybind11;

namespace collapsar {

namespace {

// ---- Tables: a list per column, and NumPy arrays of them -------------------------------------------------------------

template <class T>
py::array_t<T> array_of(const std::vector<T>& values) {
  return py::array_t<T>(py::ssize_t(values.size()), values.data());
}

py::array_t<bool> flags_of(const std::vector<std::uint8_t>& values) {
  py::array_t<bool> array(static_cast<py::ssize_t>(values.size()));
  std::transform(values.begin(), values.end(), array.mutable_data(), [](std::uint8_t v) { return v != 0; });
  return array;
}

// Leaf entries of a page table or a TLB.
struct Entries {
  std::vector<std::uint64_t> address, bytes;
  std::vector<std::int64_t> frame, swap_slot;  // -1: none
  std::vector<std::uint8_t> writable, accessed, dirty;
  void add(VirtAddr va, PageSize size, Pte pte) {
    address.push_back(va.value), bytes.push_back(page_bytes(size));
    frame.push_back(pte.present() ? std::int64_t(pte.pfn().value) : -1);
    swap_slot.push_back(pte.swap() ? std::int64_t(pte.swap_slot()) : -1);
    writable.push_back(pte.writable()), accessed.push_back(pte.accessed()), dirty.push_back(pte.dirty());
  }
  py::dict dict() const {
    py::dict out;
    out["address"] = array_of(address), out["bytes"] = array_of(bytes);
    out["frame"] = array_of(frame), out["swap_slot"] = array_of(swap_slot);
    out["writable"] = flags_of(writable), out["accessed"] = flags_of(accessed), out["dirty"] = flags_of(dirty);
    return out;
  }
};

// ---- What there is to look at ----------------------------------------------------------------------------------------

AddressSpace& space_of(SteppedRun& run, std::uint32_t pid) {
  const Process* process = run.machine().kernel().processes().by_pid(pid);
  if (!process) throw std::invalid_argument(fmt::format("pid: {}; there is no such process", pid));
  if (!process->mm) throw std::invalid_argument(fmt::format("pid: {}; the process has ended", pid));
  return *process->mm;
}

py::list processes_of(SteppedRun& run) {
  py::list out;
  for (const auto& process : run.machine().kernel().processes().all()) {
    py::dict one;
    one["pid"] = process->pid, one["name"] = process->name, one["alive"] = process->alive && process->mm;
    one["rss_bytes"] = process->mm ? process->mm->rss_pages() * kPageBytes : 0;
    one["anon_huge_bytes"] = process->mm ? process->mm->huge_pages * kHugeBytes : 0;
    out.append(one);
  }
  return out;
}

std::string rights_of(const Vma& vma) {
  return {vma.is(Vma::kRead) ? 'r' : '-', vma.is(Vma::kWrite) ? 'w' : '-', vma.is(Vma::kExec) ? 'x' : '-',
          vma.is(Vma::kShared) ? 's' : 'p'};
}

std::string advice_of(const Vma& vma) {
  return vma.is(Vma::kHugePage) ? "hugepage" : vma.is(Vma::kNoHugePage) ? "nohugepage" : "";
}

py::list vmas_of(SteppedRun& run, std::uint32_t pid) {
  AddressSpace& mm = space_of(run, pid);
  py::list out;
  for (const auto& [start, vma] : mm.vmas()) {
    py::dict one;
    one["start"] = vma.range.start.value, one["end"] = vma.range.end.value;
    one["rights"] = rights_of(vma), one["advice"] = advice_of(vma);
    one["is_anonymous"] = vma.is_anonymous();
    one["mapping"] = vma.mapping < mm.mappings().size() ? mm.mappings()[vma.mapping].name : "";
    out.append(one);
  }
  return out;
}

py::dict page_table_of(SteppedRun& run, std::uint32_t pid, std::uint64_t start, std::optional<std::uint64_t> end) {
  AddressSpace& mm = space_of(run, pid);
  const VirtRange range = mm.user_range().intersect({{start}, {end.value_or(~0ULL)}});
  Entries entries;
  mm.table().visit(range, [&](VirtAddr va, Pte& pte, PageSize size) { entries.add(va, size, pte); });
  return entries.dict();
}

py::dict tlb_of(SteppedRun& run, std::uint32_t cpu) {
  const auto& mmus = run.machine().mmus();
  if (cpu >= mmus.size())
    throw std::invalid_argument(fmt::format("cpu: {}; there are {}, numbered from 0", cpu, mmus.size()));
  const auto& spaces = run.machine().kernel().processes().address_spaces();
  Entries entries;
  py::list levels;
  std::vector<std::int64_t> pids;
  mmus[cpu]->visit_entries([&](const char* level, Asid asid, VirtAddr va, TlbEntry entry) {
    entries.add(va, entry.size, entry.leaf);
    levels.append(level);
    pids.push_back(asid > 0 && asid <= spaces.size() ? std::int64_t(spaces[asid - 1]->pid()) : -1);
  });
  py::dict out = entries.dict();
  out["level"] = levels, out["pid"] = array_of(pids);
  return out;
}

}  // namespace

void bind_simulation(py::module_& module) {
  module.def(
      "nanoseconds", [](const std::string& text) { return rounded_ns(parse_duration(text)); }, py::arg("text"));

  py::class_<SteppedRun>(module, "SteppedRun")
      .def(py::init<const ConfigNode&, const ArrayTrace*, const std::string&, const std::vector<std::string>&>(),
           py::arg("config"), py::arg("trace"), py::arg("variant"), py::arg("search_dirs"),
           py::keep_alive<1, 3>())  // the array of the trace
      .def("run_until", &SteppedRun::run_until)
      .def("finish", [](SteppedRun& run) { return dict_of(answer_of(run.finish(), {})); })
      .def("write_sysfs", &SteppedRun::write_sysfs)
      .def_property_readonly("name", &SteppedRun::name)
      .def_property_readonly("ended", &SteppedRun::ended)
      .def_property_readonly("now_ns", &SteppedRun::now_ns)
      .def("stats", [](SteppedRun& run) { return json_of_stats(run.machine().collect()); })
      .def("processes", &processes_of)
      .def("vmas", &vmas_of)
      .def("page_table", &page_table_of)
      .def("tlb", &tlb_of);
}

}  // namespace collapsar
