# Causal attention of one head: blocks of 128 queries, a running maximum.

import nki
import nki.language as nl
import nki.isa as nisa


@nki.jit
def attention(qT, kT, v, scale):
    D, N = qT.shape
    y = nl.ndarray((N, D), dtype=nl.float32, buffer=nl.shared_hbm)
    for qo in range(0, N, 128):
        qt = min(128, N - qo)
        q = nl.ndarray((D, qt), dtype=qT.dtype, buffer=nl.sbuf)
        nisa.dma_copy(dst=q, src=qT[:, qo:qo+qt])
        top = nl.ndarray((qt, 1), dtype=nl.float32, buffer=nl.sbuf)
        total = nl.ndarray((qt, 1), dtype=nl.float32, buffer=nl.sbuf)
        acc = nl.ndarray((qt, D), dtype=nl.float32, buffer=nl.sbuf)
        nisa.memset(dst=top, value=-3.0e38)
        nisa.memset(dst=total, value=0.0)
        nisa.memset(dst=acc, value=0.0)
        for ko in range(0, qo + qt, 128):
            kt = min(128, N - ko)
            k = nl.ndarray((D, kt), dtype=kT.dtype, buffer=nl.sbuf)
            nisa.dma_copy(dst=k, src=kT[:, ko:ko+kt])
            w = nl.ndarray((kt, D), dtype=v.dtype, buffer=nl.sbuf)
            nisa.dma_copy(dst=w, src=v[ko:ko+kt, :])
            raw = nl.ndarray((qt, kt), dtype=nl.float32, buffer=nl.psum)
            nisa.nc_matmul(dst=raw, stationary=q, moving=k)
            s = nl.ndarray((qt, kt), dtype=nl.float32, buffer=nl.sbuf)
            nisa.tensor_scalar(dst=s, data=raw, op0=nl.multiply, operand0=scale)
            if ko + kt > qo:
                nisa.affine_select(dst=s, pattern=[[-1, kt]], offset=qo - ko, channel_multiplier=1, on_true_tile=s,
                                   on_false_value=-3.0e38, cmp_op=nl.greater_equal)
            here = nl.ndarray((qt, 1), dtype=nl.float32, buffer=nl.sbuf)
            nisa.tensor_reduce(dst=here, op=nl.maximum, data=s, axis=(1,))
            new = nl.ndarray((qt, 1), dtype=nl.float32, buffer=nl.sbuf)
            nisa.tensor_tensor(dst=new, data1=top, data2=here, op=nl.maximum)
            down = nl.ndarray((qt, 1), dtype=nl.float32, buffer=nl.sbuf)
            nisa.tensor_scalar(dst=down, data=new, op0=nl.multiply, operand0=-1.0)
            fade = nl.ndarray((qt, 1), dtype=nl.float32, buffer=nl.sbuf)
            nisa.activation(dst=fade, op=nl.exp, data=top, bias=down)
            nisa.tensor_copy(dst=top, src=new)
            p = nl.ndarray((qt, kt), dtype=nl.float32, buffer=nl.sbuf)
            part = nl.ndarray((qt, 1), dtype=nl.float32, buffer=nl.sbuf)
            nisa.activation_reduce(dst=p, op=nl.exp, data=s, reduce_op=nl.add, reduce_res=part, bias=down)
            nisa.scalar_tensor_tensor(dst=total, data=total, op0=nl.multiply, operand0=fade, op1=nl.add, operand1=part)
            turned = nl.ndarray((kt, qt), dtype=nl.float32, buffer=nl.psum)
            nisa.nc_transpose(dst=turned, data=p)
            pT = nl.ndarray((kt, qt), dtype=v.dtype, buffer=nl.sbuf)
            nisa.tensor_copy(dst=pT, src=turned)
            o = nl.ndarray((qt, D), dtype=nl.float32, buffer=nl.psum)
            nisa.nc_matmul(dst=o, stationary=pT, moving=w)
            nisa.scalar_tensor_tensor(dst=acc, data=acc, op0=nl.multiply, operand0=fade, op1=nl.add, operand1=o)
        inverse = nl.ndarray((qt, 1), dtype=nl.float32, buffer=nl.sbuf)
        nisa.reciprocal(dst=inverse, data=total)
        nisa.tensor_scalar(dst=acc, data=acc, op0=nl.multiply, operand0=inverse)
        nisa.dma_copy(dst=y[qo:qo+qt, :], src=acc)
    return y
