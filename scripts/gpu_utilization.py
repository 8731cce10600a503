"""How busy a GPU is, as its driver says (NVML): Python's torch needs a package for that which a bare set-up lacks."""
import ctypes
import statistics
import threading

INTERVAL_SECS = 0.1


class Rates(ctypes.Structure):
    """Percent of the last moment (a sixth of a second to a second) in which a kernel ran, and in which memory moved."""

    _fields_ = [("gpu", ctypes.c_uint), ("memory", ctypes.c_uint)]


class Utilization:
    """The mean of the moments in the block that `is_wanted`, for CUDA's device 0, found by its place on the bus."""

    def __init__(self, device, is_wanted):
        self.is_wanted, self.percents, self.why_not = is_wanted, [], None
        try:
            if device == "cpu":
                # As far as it goes without a device: the driver's library may be missing, too.
                raise OSError("no GPU")
            self.nvml = ctypes.CDLL("libnvidia-ml.so.1")
            self.check(self.nvml.nvmlInit_v2())
            self.handle = ctypes.c_void_p()
            self.check(self.nvml.nvmlDeviceGetHandleByPciBusId_v2(place_of_gpu().encode(), ctypes.byref(self.handle)))
            self.read()
        except (OSError, AttributeError) as error:
            self.why_not = str(error)

    @staticmethod
    def check(code):
        if code:
            raise OSError(f"NVML says {code}")

    def read(self):
        rates = Rates()
        self.check(self.nvml.nvmlDeviceGetUtilizationRates(self.handle, ctypes.byref(rates)))
        return rates.gpu

    def sample(self):
        while not self.ended.wait(INTERVAL_SECS):
            if self.is_wanted() and not self.why_not:
                self.percents.append(self.read())

    def __enter__(self):
        self.ended = threading.Event()
        self.thread = threading.Thread(target=self.sample, daemon=True)
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.ended.set()
        self.thread.join()

    def text(self):
        if self.percents:
            return f"{statistics.mean(self.percents):.0f}% ({len(self.percents)} samples)"
        return f"not known: {self.why_not or 'no sample'}"


def place_of_gpu():
    import torch
    gpu = torch.cuda.get_device_properties(0)
    return f"{gpu.pci_domain_id:08x}:{gpu.pci_bus_id:02x}:{gpu.pci_device_id:02x}.0"
