import nki
import nki.language as nl
import nki.isa as nisa


@nki.jit
def matmul_exp(lhsT, rhs):
    K, M = lhsT.shape
    _, N = rhs.shape
    out = nl.ndarray((M, N), dtype=nl.float32, buffer=nl.shared_hbm)
    for mo in range(0, M, 128):
        mt = min(128, M - mo)
        for no in range(0, N, 512):
            nt = min(512, N - no)
            acc = nl.ndarray((mt, nt), dtype=nl.float32, buffer=nl.psum)
            for ko in range(0, K, 128):
                kt = min(128, K - ko)
                a = nl.ndarray((kt, mt), dtype=lhsT.dtype, buffer=nl.sbuf)
                b = nl.ndarray((kt, nt), dtype=rhs.dtype, buffer=nl.sbuf)
                nisa.dma_copy(dst=a, src=lhsT[ko:ko+kt, mo:mo+mt])
                nisa.dma_copy(dst=b, src=rhs[ko:ko+kt, no:no+nt])
                nisa.nc_matmul(dst=acc, stationary=a, moving=b)
            s = nl.ndarray((mt, nt), dtype=nl.float32, buffer=nl.sbuf)
            nisa.tensor_scalar(dst=s, data=acc, op0=nl.multiply, operand0=0.01)
            nisa.activation(dst=s, op=nl.exp, data=s)
            nisa.dma_copy(dst=out[mo:mo+mt, no:no+nt], src=s)
    return out
