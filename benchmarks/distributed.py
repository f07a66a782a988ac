"""Fits on Dask workers beside local ones; `dask_fits.py` says what is measured.

A package that Dask consists of has the name of this file, and Python looks into a
script's folder first. So nothing is measured here.
"""

import sys

if __name__ == "__main__":
    # The folder of the scripts comes last, also in the processes of the workers.
    sys.path.append(sys.path.pop(0))
    import dask_fits

    dask_fits.SCENARIO.main()
