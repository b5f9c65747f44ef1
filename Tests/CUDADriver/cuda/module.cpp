#include "module.h"

#include <dlfcn.h>
#include <elf.h>
#include <link.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cstdio>
#include <cstring>

#include "toolchain.h"

// The dynamic linker's own function behind every thread-local of an opened library.
struct tls_index {
  size_t module, offset;
};
extern "C" void *__tls_get_addr(tls_index *);

namespace {

size_t image_bytes(const char *image) {
  Elf64_Ehdr header;
  std::memcpy(&header, image, sizeof header);
  // The table of sections is what linkers write last.
  return header.e_shoff + size_t(header.e_shnum) * header.e_shentsize;
}

std::vector<CUmod_st::Variable> thread_locals(const char *image) {
  std::vector<CUmod_st::Variable> variables;
  Elf64_Ehdr header;
  std::memcpy(&header, image, sizeof header);
  std::vector<Elf64_Shdr> sections(header.e_shnum);
  std::memcpy(sections.data(), image + header.e_shoff, sections.size() * sizeof(Elf64_Shdr));
  for (const Elf64_Shdr &section : sections) {
    if (section.sh_type != SHT_SYMTAB || section.sh_link >= sections.size()) continue;
    const char *names = image + sections[section.sh_link].sh_offset;
    for (size_t i = 0; i < section.sh_size / sizeof(Elf64_Sym); i++) {
      Elf64_Sym symbol;
      std::memcpy(&symbol, image + section.sh_offset + i * sizeof symbol, sizeof symbol);
      if (ELF64_ST_TYPE(symbol.st_info) == STT_TLS && symbol.st_shndx != SHN_UNDEF)
        variables.push_back({driver::unmangled(names + symbol.st_name), symbol.st_value, symbol.st_size});
    }
  }
  return variables;
}

int read_segments(dl_phdr_info *info, size_t, void *data) {
  auto *module = static_cast<CUmod_st *>(data);
  if (info->dlpi_addr != module->load_address) return 0;
  for (int i = 0; i < info->dlpi_phnum; i++) {
    const ElfW(Phdr) &p = info->dlpi_phdr[i];
    if (p.p_type == PT_LOAD) module->segments.push_back({info->dlpi_addr + p.p_vaddr, p.p_memsz, (p.p_flags & PF_W) != 0});
    if (p.p_type == PT_TLS) {
      module->static_shared_bytes = p.p_memsz;
      module->thread_local_number = info->dlpi_tls_modid;
    }
  }
  return 1;
}

}  // namespace

std::unique_ptr<CUmod_st> CUmod_st::open(const void *image) {
  if (std::memcmp(image, ELFMAG, SELFMAG) != 0) {
    std::fprintf(stderr, "The CUDA driver for tests opens only what its own compiler stand-in made.\n");
    return nullptr;
  }
  auto module = std::make_unique<CUmod_st>();
  const char *bytes = static_cast<const char *>(image);
  module->file = memfd_create("mayfly-test-kernels", MFD_CLOEXEC);
  for (size_t done = 0, size = image_bytes(bytes); done < size;) {
    const ssize_t n = write(module->file, bytes + done, size - done);
    if (n <= 0) return nullptr;
    done += size_t(n);
  }
  // The number stays open as long as the library, so that no two open libraries have the same path.
  const std::string path = "/proc/self/fd/" + std::to_string(module->file);
  module->handle = dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL);
  if (module->handle == nullptr) {
    std::fprintf(stderr, "The CUDA driver for tests cannot open a module: %s\n", dlerror());
    return nullptr;
  }
  link_map *map = nullptr;
  dlinfo(module->handle, RTLD_DI_LINKMAP, &map);
  module->load_address = map->l_addr;
  dl_iterate_phdr(read_segments, module.get());
  module->shared_variables = thread_locals(bytes);
  return module;
}

CUmod_st::~CUmod_st() {
  if (handle != nullptr) dlclose(handle);
  if (file >= 0) close(file);
}

CUfunc_st *CUmod_st::function(const std::string &name) {
  auto &entry = functions[name];
  if (entry == nullptr) {
    auto *kernel = static_cast<const mf_cpu_kernel *>(dlsym(handle, ("mf_cpu_kernel_" + name).c_str()));
    if (kernel == nullptr) return nullptr;
    entry = std::make_unique<CUfunc_st>(CUfunc_st{this, name, kernel});
  }
  return entry.get();
}

char *CUmod_st::static_shared() const {
  if (static_shared_bytes == 0) return nullptr;
  tls_index index{thread_local_number, 0};
  return static_cast<char *>(__tls_get_addr(&index));
}

std::string CUmod_st::lines(size_t code_address) const {
  char command[4300];
  std::snprintf(command, sizeof command, "'%s' --obj=/proc/%d/fd/%d --output-style=GNU --pretty-print 0x%zx 2>/dev/null",
                driver::symbolizer().c_str(), int(getpid()), file, code_address - load_address);
  std::string text;
  if (FILE *answer = popen(command, "r")) {
    char part[512];
    while (size_t n = fread(part, 1, sizeof part, answer)) text.append(part, n);
    pclose(answer);
  }
  return text;
}
