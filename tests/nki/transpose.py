import nki
import nki.language as nl
import nki.isa as nisa


@nki.jit
def transpose(x):
    R, C = x.shape
    y = nl.ndarray((C, R), dtype=x.dtype, buffer=nl.shared_hbm)
    for r in range(0, R, 128):
        rt = min(128, R - r)
        for c in range(0, C, 128):
            ct = min(128, C - c)
            t = nl.ndarray((rt, ct), dtype=x.dtype, buffer=nl.sbuf)
            nisa.dma_copy(dst=t, src=x[r:r+rt, c:c+ct])
            p = nl.ndarray((ct, rt), dtype=x.dtype, buffer=nl.psum)
            nisa.nc_transpose(dst=p, data=t)
            o = nl.ndarray((ct, rt), dtype=x.dtype, buffer=nl.sbuf)
            nisa.tensor_copy(dst=o, src=p, engine=nisa.engine.scalar)
            nisa.dma_copy(dst=y[c:c+ct, r:r+rt], src=o)
    return y
