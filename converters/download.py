"""Fetching published weights: torchvision's through torch's hub cache, timm's through the Hugging Face hub's."""

from pathlib import Path

from bias_jax.errors import InputError
from converters.entries import PublishedWeights

TIMM_FILE = "model.safetensors"


def download(entry: PublishedWeights) -> tuple[Path, str | None]:
    """Path of the file in its cache, and the SHA-256 that the Hugging Face hub states for it (timm's only).

    Raises:
        InputError: it cannot be reached, arrives damaged, or the package that fetches it is not installed.
    """
    if "://" in entry.file:
        remedy = "fetch it by the publisher's own means and pass --source"
        raise InputError("is not fetched by this program", file=entry.address, remedy=remedy)
    fetch = _from_hub if entry.on_hub else _from_torchvision
    try:
        return fetch(entry)
    except InputError:
        raise
    except Exception as error:  # sockets, TLS, HTTP and hash checks raise kinds of their own
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        remedy = "check the network, or fetch the file elsewhere and pass --source"
        raise InputError(f"cannot be downloaded ({reason})", file=entry.address, remedy=remedy) from None


def _from_torchvision(entry: PublishedWeights) -> tuple[Path, None]:
    try:
        from torch import hub
    except ImportError:
        raise InputError(
            "torch is needed to download and read .pth files", remedy="pip install 'bias-jax[convert]'"
        ) from None
    path = Path(hub.get_dir()) / "checkpoints" / entry.file
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        hub.download_url_to_file(entry.address, str(path), hash_prefix=entry.hash_prefix)
    return path, None


def _from_hub(entry: PublishedWeights) -> tuple[Path, str]:
    try:
        import huggingface_hub
    except ImportError:
        raise InputError(
            "huggingface_hub is needed to download timm's files", remedy="pip install 'bias-jax[hub]'"
        ) from None
    address = huggingface_hub.hf_hub_url(entry.file, TIMM_FILE)
    stated = huggingface_hub.get_hf_file_metadata(address).etag  # of a large file: its SHA-256
    if stated is None or len(stated) != 64:
        raise InputError("the hub states no SHA-256", file=address, remedy="fetch the file and pass --source")
    return Path(huggingface_hub.hf_hub_download(entry.file, TIMM_FILE)), stated
