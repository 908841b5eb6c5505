# Each instruction once, on tiles of x and z: what a damaged text starts from.

import nki
import nki.language as nl
import nki.isa as nisa


@nki.jit
def instructions(x, z, eps=0.5):
    R, C = x.shape
    y = nl.ndarray((R, C), dtype=nl.float32, buffer=nl.shared_hbm)
    t = nl.ndarray((R, C), dtype=x.dtype, buffer=nl.sbuf)
    u = nl.ndarray((R, C), dtype=nl.float32, buffer=nl.sbuf)
    one = nl.ndarray((R, 1), dtype=nl.float32, buffer=nl.sbuf)
    nisa.dma_copy(dst=t, src=x)
    nisa.dma_copy(dst=u, src=z[0:R, 0:C:1])
    nisa.tensor_tensor(dst=u, data1=u, data2=t, op=nl.add)
    nisa.tensor_scalar(dst=u, data=u, op0=nl.multiply, operand0=eps, op1=nl.subtract, operand1=1.0, reverse1=True)
    nisa.tensor_reduce(dst=one, op=nl.maximum, data=u, axis=1)
    nisa.scalar_tensor_tensor(dst=u, data=u, op0=nl.subtract, operand0=one, op1=nl.maximum, operand1=t)
    nisa.activation(dst=u, op=nl.sigmoid, data=u, bias=one, scale=0.5, reduce_op=nl.add, reduce_res=one, reduce_cmd=nisa.reduce_cmd.reset_reduce)
    nisa.tensor_tensor_scan(dst=u, data0=u, data1=t, initial=0.0, op0=nl.multiply, op1=nl.maximum)
    nisa.affine_select(dst=u, pattern=[[-1, C]], offset=3, channel_multiplier=1, on_true_tile=u, on_false_value=0.25, cmp_op=nl.greater_equal)
    i = nl.ndarray((R, C), dtype=nl.int32, buffer=nl.sbuf)
    nisa.iota(dst=i, pattern=[[1, C]], offset=0, channel_multiplier=2)
    nisa.tensor_scalar(dst=i, data=i, op0=nl.bitwise_and, operand0=5)
    nisa.tensor_tensor(dst=i, data1=i, data2=i, op=nl.add)
    m = nl.ndarray((R, C), dtype=nl.uint8, buffer=nl.sbuf)
    nisa.tensor_scalar(dst=m, data=i, op0=nl.greater, operand0=4.0)
    nisa.tensor_copy_predicated(dst=u, src=-2.0, predicate=m)
    s = nl.ndarray((R, 12), dtype=nl.float32, buffer=nl.sbuf)
    nisa.bn_stats(dst=s[:, 0:6], data=u)
    nisa.bn_stats(dst=s[:, 6:12], data=u[:, 0:5])
    v = nl.ndarray((R, 2), dtype=nl.float32, buffer=nl.sbuf)
    nisa.bn_aggr(dst=v, data=s)
    g = nl.ndarray((R, 3), dtype=nl.uint32, buffer=nl.sbuf)
    nisa.memset(dst=g, value=1)
    nisa.nc_n_gather(dst=u[:, 0:3], data=u, indices=g)
    w = nl.ndarray((R, 8), dtype=nl.float32, buffer=nl.sbuf)
    nisa.max8(dst=w, src=u)
    nisa.reciprocal(dst=w, data=w)
    p = nl.ndarray((R, C), dtype=nl.float32, buffer=nl.psum)
    nisa.nc_matmul(dst=p, stationary=u[:, 0:R] if R <= C else u, moving=u) if R <= 32 and R <= C else nisa.memset(dst=p, value=0.0)
    nisa.tensor_copy(dst=u, src=p, engine=nisa.engine.scalar)
    rows = nl.ndarray((4, 1), dtype=nl.uint32, buffer=nl.sbuf)
    nisa.memset(dst=rows, value=2)
    picked = nl.ndarray((4, C), dtype=nl.float32, buffer=nl.sbuf)
    nisa.dma_copy(dst=picked, src=z.ap(pattern=[[C, 4], [1, C]], vector_offset=rows, indirect_dim=0))
    def body(k):
        nisa.tensor_tensor(dst=u[0:4, :], data1=u[0:4, :], data2=picked, op=nl.add)
        nisa.tensor_scalar(dst=u[:, 0:1], data=v[:, 1:2], op0=nl.add, operand0=0.125)
    nl.fori_loop(0, 3, body, 1)
    nisa.nc_stream_shuffle(dst=u, src=u, shuffle_mask=(1, 0, 255, 3) * 8)
    nisa.dma_copy(dst=y, src=u.reshape((R, 1, C)))
    return y
