"""Metadata of the package; the build system and the tools' settings are in pyproject.toml."""

from pathlib import Path

from setuptools import find_packages, setup

HERE = Path(__file__).parent

setup(
    name="vggnumpy",
    version="0.1.0",
    description="Neural style transfer on raw NumPy: every gradient derived by hand, open and checked",
    long_description=(HERE / "README.md").read_text(encoding="utf-8"),
    long_description_content_type="text/markdown",
    license="MIT",
    license_files=["LICENSE"],
    python_requires=">=3.11",
    packages=[*find_packages(include=["vggnumpy", "vggnumpy.*"]), "vggnumpy.weights"],
    package_dir={"vggnumpy.weights": "weights"},
    package_data={
        "": ["*.cu", "*.cuh"],
        "vggnumpy": ["py.typed", "pictures/*"],
        "vggnumpy.weights": ["README.md", "builtin.*"],
    },
    install_requires=[
        "numpy>=2.0",
        "scipy>=1.14",
        "h5py>=3.11",
        "imageio>=2.35",
        "pillow>=10.4",
        "threadpoolctl>=3.5",
        "matplotlib>=3.9",
        "tqdm>=4.66",
        "pooch>=1.8",
        "requests>=2.31",
    ],
    extras_require={
        "cuda12": ["cupy-cuda12x[ctk]>=14.0.1,!=14.1.0"],
        "cuda13": ["cupy-cuda13x[ctk]>=14.0.1,!=14.1.0"],
        "test": [
            "pytest>=8.3",
            "pytest-xdist>=3.6",
            "hypothesis>=6.112",
            "build>=1.2",
            "setuptools>=77",
            "wheel>=0.44",
            "ruff>=0.9",
            "mypy>=1.14",
        ],
        "reference": ["torch>=2.5"],
    },
    entry_points={"console_scripts": ["vggnumpy = vggnumpy.cli:main"]},
    classifiers=[
        "Programming Language :: Python :: 3",
        "Topic :: Multimedia :: Graphics",
        "Topic :: Scientific/Engineering :: Artificial Intelligence",
    ],
)
